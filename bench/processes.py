"""The cost of a server's processes."""

import psutil
from mirakuru.base_env import processes_with_env

from lacrosse_assets.embedded.supervision import OWNER_VARIABLE, Server


def _processes(server: Server) -> list[psutil.Process]:
    return [psutil.Process(pid) for pid in processes_with_env(OWNER_VARIABLE, server.owner)]


def cpu(server: Server) -> float:
    """The CPU seconds of a server's processes, and of those that they have waited for, such as runs."""
    return sum(sum(process.cpu_times()[:4]) for process in _processes(server))


def memory(server: Server) -> int:
    """The bytes of memory of a server's processes, with their part of what they share (PSS)."""
    return sum(process.memory_full_info().pss for process in _processes(server))
