"""Chaos tests: faults are injected into games, and the result is compared with the contract. `make chaos`."""
