"""The rules of lacrosse: stream, statistics, box scores and final tables (docs/contract.md, sections 1 to 4).

Spark frames and plain Python. Every rule of the game belongs here. Dagster and the stores' client libraries do not, so
that the rules can be read, tested and reused by themselves.

    tables.py      the columns of the reference tables; which table is the final copy of which
    schemas.py     Spark schemas: columns with type and description
    keys.py        the keys that join the stream with the reference tables
    stream.py      bytes -> lines, each with a verdict
    roster.py      reference tables -> the players of both teams
    statistics.py  lines + roster -> one row per player
    boxscore.py    statistics -> box score documents
    document.py    reading a box score document
    timeline.py    lines + roster -> the fingerprint of each event's box score
    finals.py      reference tables + final document -> teams2 and players2
    reference.py   validation of reference rows, comparison of final tables

`tables.py`, `keys.py` and `document.py` are imported where Spark is not needed, and do not import it.
"""
