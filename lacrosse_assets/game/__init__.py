"""The rules of lacrosse: stream, statistics, box scores and final tables (docs/contract.md, sections 1 to 4).

Spark frames and plain Python. Every rule of the game belongs here. Dagster and the stores' client libraries do not, so
that the rules can be read, tested and reused by themselves.

    tables.py      the columns of the tables; which table is the final copy of which
    schemas.py     Spark schemas: columns with type and description
    keys.py        the keys that join the stream with the reference tables
    schedule.py    table games -> the games, each with its stream
    stream.py      bytes -> lines, each with a verdict
    clock.py       lines -> the clock of each event, and whether the game is over
    roster.py      reference tables -> the players of both teams
    statistics.py  lines + roster -> one row per player
    boxscore.py    statistics -> box scores
    plays.py       lines -> the plays of a game
    document.py    box scores <-> documents
    timeline.py    lines + roster -> the fingerprint of each event's box score
    finals.py      reference tables + final box scores -> teams2 and players2
    reference.py   validation of reference rows, comparison of final tables

`tables.py`, `keys.py`, `schedule.py` and `document.py` are imported where Spark is not needed, and do not import it.
"""
