"""The assets. They are thin: each fetches through a resource, calls `game/`, stores, and reports metadata.

sources.py     the stream and the reference tables: external assets, written by others
live.py        raw_gamestream, roster, player_game_stats, boxscore_doc: during the game
final.py       teams2, players2: after the game
lineage.py     which columns each column comes from
common.py      retries, owners, tables in metadata
"""
