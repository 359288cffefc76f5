"""Print the Dockerfile with Microsoft's ODBC driver from PyPI, in the place of Microsoft's own package repository.

    python3 docker/standins/dockerfile.py Dockerfile

It also makes the folder of the SQLite file that takes SQL Server's place: a new volume takes over its mode.
"""

import re
import sys
from pathlib import Path

DRIVER = r"""RUN apt-get update \
    && apt-get install --yes --no-install-recommends unixodbc=2.3.* libgssapi-krb5-2 \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir --no-deps --target /opt/odbc mssql-python-odbc \
    && chmod -R a+rX /opt/odbc \
    && printf '[ODBC Driver 18 for SQL Server]\nDriver=%s\n' \
        "$(ls /opt/odbc/mssql_python_odbc/libs/linux/debian_ubuntu/x86_64/lib/libmsodbcsql-*)" >>/etc/odbcinst.ini \
    && install --directory --mode 777 /sidearmdb
"""
REPOSITORY = re.compile(r"microsoft\.(asc|sources)")
PACKAGE = re.compile(r"msodbcsql18")


def with_driver_from_pypi(dockerfile: str) -> str:
    """The Dockerfile with `DRIVER` in the place of the instructions about Microsoft's repository and package."""
    instructions = re.findall(r"(?:[^\n]*\\\n)*[^\n]*\n", dockerfile)  # each with its continuation lines
    packages = [each for each in instructions if PACKAGE.search(each)]
    if len(packages) != 1:
        sys.exit(
            f"the Dockerfile has {len(packages)} instructions with {PACKAGE.pattern} (1 is expected): change {__file__}"
        )
    kept = [each for each in instructions if not REPOSITORY.search(each)]
    return "".join(DRIVER if each in packages else each for each in kept)


if __name__ == "__main__":
    print(with_driver_from_pypi(Path(sys.argv[1]).read_text()), end="")
