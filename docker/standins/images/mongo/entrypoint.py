#!/usr/local/bin/python
"""The entrypoint of the image mongo: first a server on localhost, to create the user, then one with passwords."""

import os
import subprocess
import sys
import time
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import PyMongoError

DATA = Path("/data/db")
CREATED = DATA / ".user-created"
SERVER = [
    "secantusd-py",
    "--port=27017",
    f"--storage-path={DATA}",
    "--cache-size=256M",
    "--standalone",
    "--sync-on-commit",
]
STARTUP_SECONDS = 30


def create_user() -> None:
    """Create the user of the environment, on a server that only this container reaches."""
    server = subprocess.Popen([*SERVER, "--host=127.0.0.1"])
    user, password = os.environ["MONGO_INITDB_ROOT_USERNAME"], os.environ["MONGO_INITDB_ROOT_PASSWORD"]
    deadline = time.monotonic() + STARTUP_SECONDS
    while True:
        try:
            with MongoClient("127.0.0.1", 27017, serverSelectionTimeoutMS=500, directConnection=True) as client:
                client.admin.command("createUser", user, pwd=password, roles=["root"])
            break
        except PyMongoError as error:
            if time.monotonic() > deadline:
                sys.exit(f"the user was not created: {error}")
            time.sleep(0.3)
    server.terminate()
    server.wait()
    CREATED.touch()


if os.getuid() == 0:
    subprocess.run(["chown", "-R", "mongodb", DATA], check=True)
    os.execvp("setpriv", ["setpriv", "--reuid=mongodb", "--regid=mongodb", "--init-groups", *sys.argv])
os.environ["HOME"] = "/tmp"
if not CREATED.exists():
    create_user()
os.execvp(SERVER[0], [*SERVER, "--host=0.0.0.0", "--auth"])
