"""`make bench`: the latency from a goal to its box score, of this project and of two simpler ways to do it."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
