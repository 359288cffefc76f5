"""Lacrosse itself: what a line of the stream, a box score and a final record are (docs/contract.md, sections 1 to 4).

Spark frames and plain Python. In here belongs every rule of the game; neither Dagster nor a client of any store does,
so that the rules can be read, tested and reused alone.

    stream.py      bytes -> lines, each with what became of it
    statistics.py  lines + roster -> a row a player
    boxscore.py    those rows -> the document, and what can be said of one
    finals.py      reference tables + final document -> teams2 and players2
"""
