"""Tests of whole processes, as a user starts them: commands, `dagster dev`, the simulator, the embedded services."""
