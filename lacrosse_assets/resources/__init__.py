"""The stores and the Spark session as Dagster resources: one file per store, with its interface and the real kind.

object_store.py   the stream (S3)
documents.py      the box scores (MongoDB): what both layouts share
event_documents.py, game_documents.py
                  the layouts: a document per event, a document per game
schedule.py       which games are played
reference_db.py   sidearmdb (SQL Server, SQLite, any other database of SQLAlchemy's)
spark.py          the Spark session
frames.py         the storage of the frames between the assets
mock.py           the in-memory kinds, with a canned finished game
reflection.py     the definitions of SQL tables, for the copies of them
sql.py            SQL engines and the meaning of their errors; the simulator uses it as well
errors.py         `StoreError`, which names the store and its address and contains no secret
"""
