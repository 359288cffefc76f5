"""Is there a Java that Spark can run on? Said in one line, before anything is started or installed.

The standard library only: the Makefile runs this file before there is a virtual environment.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

OLDEST_JAVA = 17  # PySpark 4's classes are compiled for it
HOW_TO_GET_IT = (
    f"Spark needs Java {OLDEST_JAVA} or newer: `apt-get install openjdk-17-jre-headless` on Debian and Ubuntu, "
    "`brew install openjdk@17` on macOS; or let JAVA_HOME name the folder of one"
)


class JavaError(Exception):
    """No Java that will do. The message is one line with the way out."""


def check_java(environ: Mapping[str, str] = os.environ) -> None:
    """Raise `JavaError` unless the Java that Spark would take (JAVA_HOME's, else the PATH's) is new enough."""
    home = environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java", path=environ.get("PATH"))
    if not java:
        raise JavaError(f"there is no `java` on the PATH. {HOW_TO_GET_IT}")
    where = f"{java} (from JAVA_HOME)" if home else java
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        raise JavaError(f"{where} does not run. {HOW_TO_GET_IT}") from None
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if answer.returncode or not version:
        # macOS has a `java` that only says where to get one.
        raise JavaError(f"{where} is no working Java. {HOW_TO_GET_IT}")
    if int(version[1]) < OLDEST_JAVA:
        raise JavaError(f"{where} is Java {version[1]}. {HOW_TO_GET_IT}")


if __name__ == "__main__":
    try:
        check_java()
    except JavaError as error:
        sys.exit(f"Error: {error}")
