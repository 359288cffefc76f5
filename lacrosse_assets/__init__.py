"""A lacrosse game as Dagster assets: from the stream in an object store to a live box score and the final tables."""
