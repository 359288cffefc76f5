"""How long a goal takes to its box score, for this project and for what one would have otherwise: `make bench`."""
