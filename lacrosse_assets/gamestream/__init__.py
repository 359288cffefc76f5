"""The simulator: plays one lacrosse game onto the object store, as a scorer's program at the field would.

A client of the stores and no part of the pipeline: it shares nothing with it but the settings, and any other program
that puts such a stream there drives the platform as well. `python -m lacrosse_assets.gamestream` plays;
It follows docs/contract.md, section 7. The game and the two rosters lie beside this file.
"""
