"""Finds the browser."""

import shutil

NAMES = ("chromium", "chromium-browser", "google-chrome")


class NoBrowserError(Exception):
    """No browser is installed."""


def chromium() -> str:
    """The path of Chromium.

    Raises:
        NoBrowserError: it is not installed; the message says how to install it.
    """
    if program := next(filter(None, map(shutil.which, NAMES)), None):
        return program
    raise NoBrowserError("these tests need a browser: `apt-get install chromium` as root")
