"""The tests. Those that need stores take them from the fixture `embedded` (real servers, real protocols)."""

from pathlib import Path

PROJECT_ROOT = Path(__file__).resolve().parent.parent
