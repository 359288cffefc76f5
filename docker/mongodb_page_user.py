#!/usr/local/bin/python
"""Create MongoDB's user for the box score page, who may read the database `sidearm` and nothing else.

Run before each start of the page, by MongoDB's root user: it gives an existing user the password of today's .env.
"""

import os

from pymongo import MongoClient
from pymongo.errors import OperationFailure

USER = "page"
ROLES = [{"role": "read", "db": "sidearm"}]
USER_EXISTS, AUTHENTICATION_FAILED = 51003, 18


def main() -> None:
    password = os.environ["MONGODB_PAGE_PASSWORD"]
    with MongoClient[dict[str, object]](os.environ["MONGODB_URI"]) as client:
        try:
            client.admin.command("createUser", USER, pwd=password, roles=ROLES)
        except OperationFailure as error:
            if error.code == AUTHENTICATION_FAILED:
                raise SystemExit(
                    "MongoDB refuses MONGODB_PASSWORD: it keeps that of its first start, from another .env"
                ) from None
            if error.code != USER_EXISTS:
                raise SystemExit(f"MongoDB refuses to create the user {USER}: {error}") from None
            client.admin.command("updateUser", USER, pwd=password, roles=ROLES)
    print(f"MongoDB's user {USER} may read the database sidearm.")


if __name__ == "__main__":
    main()
