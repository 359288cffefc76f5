"""The guard of all patches: is the installed Dagster the one that a patch was tested with?"""

import inspect
import logging
from functools import reduce
from importlib import import_module
from importlib.metadata import version

# By package: the tested minor version. setup.py has the same bounds.
TESTED_VERSIONS = {"dagster": "1.13", "dagster-postgres": "0.29"}

log = logging.getLogger("dagster.lacrosse_patches")


def is_supported(patch: str, package: str, *attributes: str) -> bool:
    """Whether `patch` can be applied. Otherwise one line is logged: the patch, the version and what is missing."""
    missing = unsupported(package, *attributes)
    if missing:
        log.warning("%s is off, Dagster is left as it is: %s", patch, missing)
    return not missing


def unsupported(package: str, *attributes: str) -> str | None:
    """Why a patch of `package` cannot be applied; None if it can.

    Each attribute is written as `module:Class.method`. `module:Class().name` is an attribute that the constructor of
    the class assigns.
    """
    installed, tested = version(package), TESTED_VERSIONS[package]
    if not installed.startswith(f"{tested}."):
        return f"{package} {installed} is not tested ({tested} is)"
    missing = next((attribute for attribute in attributes if not _exists(attribute)), None)
    return f"{package} {installed} has no {missing.replace(':', '.')}" if missing else None


def _exists(attribute: str) -> bool:
    module, _, path = attribute.partition(":")
    path, _, assigned = path.partition("().")
    try:
        # Not getattr: an attribute of a base class is not what a patch relies on.
        found = reduce(lambda owner, name: vars(owner)[name], path.split("."), import_module(module))
    except (ImportError, KeyError, TypeError):
        return False
    return not assigned or assigned in _names_in_constructor(found)


def _names_in_constructor(cls: object) -> tuple[str, ...]:
    code = getattr(inspect.unwrap(getattr(cls, "__init__")), "__code__", None)  # noqa: B009 (of an object)
    return code.co_names if code else ()
