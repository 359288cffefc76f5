"""The settings of hypothesis."""

import os

from hypothesis import settings

# On a CI server each run has the same examples, so that a failure there is always one of the change at hand.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")
