"""Checks that Spark can run on the installed Java, before anything is installed or started.

Standard library only: the Makefile runs this file before it creates the virtual environment.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

MIN_JAVA_VERSION = 17  # PySpark 4 is compiled for it
INSTALL_HINT = (
    f"Spark needs Java {MIN_JAVA_VERSION} or newer: `apt-get install openjdk-17-jre-headless` on Debian and Ubuntu, "
    "`brew install openjdk@17` on macOS; or set JAVA_HOME to the folder of an installed one"
)


class JavaError(Exception):
    """Java is missing or too old. The message is one line that says how to install it."""


def check_java(environ: Mapping[str, str] = os.environ) -> None:
    """Check the Java that Spark uses: that of JAVA_HOME if set, otherwise the first on the PATH.

    Raises:
        JavaError: it is missing, does not run, or is too old.
    """
    home = environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java", path=environ.get("PATH"))
    if not java:
        raise JavaError(f"no `java` on the PATH. {INSTALL_HINT}")
    where = f"{java} (from JAVA_HOME)" if home else java
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        raise JavaError(f"{where} does not run. {INSTALL_HINT}") from None
    version = re.search(r'version "(?:1\.)?(\d+)', answer.stderr + answer.stdout)
    if answer.returncode or not version:
        # macOS has a stub `java` that prints where to download one.
        raise JavaError(f"{where} is not a working Java. {INSTALL_HINT}")
    if int(version[1]) < MIN_JAVA_VERSION:
        raise JavaError(f"{where} is Java {version[1]}. {INSTALL_HINT}")


if __name__ == "__main__":
    try:
        check_java()
    except JavaError as error:
        sys.exit(f"Error: {error}")
