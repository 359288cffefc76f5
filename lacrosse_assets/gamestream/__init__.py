"""The simulator: writes the stream of one lacrosse game to the object store (docs/contract.md, section 7).

It is a client of the stores, not a part of the pipeline: any other program that writes such a stream can take its
place. It imports neither Dagster nor Spark. The game and the two rosters are files in this folder; the games of a game
day (section 10) are made up.

    python -m lacrosse_assets.gamestream
"""
