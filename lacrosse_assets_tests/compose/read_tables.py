"""Prints tables as one JSON object, their rows by id; a table that is missing is empty. Run in a container."""

import json
import os
import sys

from sqlalchemy import create_engine, inspect, text

with create_engine(os.environ["SIDEARMDB_URL"]).connect() as connection:
    there = inspect(connection).get_table_names()
    tables = {
        name: [dict(row) for row in connection.execute(text(f"SELECT * FROM {name} ORDER BY id")).mappings()]
        if name in there
        else []
        for name in sys.argv[1:]
    }
print(json.dumps(tables, default=str))
