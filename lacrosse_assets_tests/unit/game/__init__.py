"""Tests of `lacrosse_assets.game`: examples for each rule, and properties compared with the reference model."""
