"""The tests. Those that need stores take them from the fixture `embedded` (real servers, real protocols)."""
