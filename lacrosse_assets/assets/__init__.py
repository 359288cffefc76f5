"""The assets: thin.

Each fetches through a resource, calls `game/`, stores, and says in its metadata what a person wants to see.

    sources.py     the stream and the reference tables, which others write
    live.py        raw_gamestream, roster, player_game_stats, boxscore_doc: while the game is on
    final.py       teams2, players2: when it is over
    common.py      what they share: retries, owners, tables in metadata
"""
