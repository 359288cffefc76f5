"""Tests of `lacrosse_assets.game`: each rule by an example, and all of them at once held against `plain.py`."""
