"""Changes to private parts of Dagster. Each checks what it relies on, and otherwise leaves Dagster as it is."""
