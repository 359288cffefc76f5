"""The stores and the engine, one file each: what the assets ask of them, and the real kind that answers.

    object_store.py   the stream (S3)
    documents.py      the box scores (MongoDB)
    reference_db.py   sidearmdb (SQL Server, SQLite, whatever SQLAlchemy speaks)
    spark.py          the Spark session
    frames.py         where the frames between the assets are kept
    mock.py           the in-memory kinds, with a canned finished game

A store that cannot be worked with raises `StoreError`, which names the store and its address, and no secret.
"""
