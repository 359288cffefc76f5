"""Where the browser is."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


class NoBrowserError(Exception):
    """There is none on this machine."""


def chromium() -> str:
    """The path of Chromium; a `NoBrowserError` that says how to get it."""
    if program := next(filter(None, map(shutil.which, NAMES)), None):
        return program
    raise NoBrowserError("these tests need a browser: `apt-get install chromium` as root")
