"""Docker Compose on an engine: games on the stack, and its services killed. `make test-compose` runs it."""
