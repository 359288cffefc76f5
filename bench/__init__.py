"""`make bench`: the latency from a goal to its box score, of this project and of two simpler ways to do it."""
