"""Tests with Python and Java alone: no store is started, and no system package is needed. `make test-unit`."""
