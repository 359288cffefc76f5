"""The platform broken on purpose, and held against the contract: `make chaos`."""
