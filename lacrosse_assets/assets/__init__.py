"""The assets. They are thin: each fetches through a resource, calls `game/`, stores, and reports metadata.

sources.py     the stream and the reference tables: external assets, written by others
raw_gamestream.py, roster.py, player_game_stats.py, boxscore_doc.py
               the live assets, which change during a game
final.py       teams2, players2: after the game
games.py       which games a run processes, and what it reports of those that it cannot
lines.py       what the live assets take from the frame of raw_gamestream
day.py         the games at a glance
lineage.py     which columns each column comes from
common.py      retries, owners, frames, tables in metadata
"""
