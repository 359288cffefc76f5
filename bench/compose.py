"""The running Compose stack, measured: `docker compose up -d`, then `python -m bench --deployment compose`.

The events are put and read in a container of the platform's image, which reaches all services and has their clients.
"""

import json
import re
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

BENCH = Path(__file__).resolve().parent
RUN = ("run", "--rm", "--no-deps", "--no-TTY", "--volume", f"{BENCH}:/app/bench:ro", "--entrypoint", "python")
# The CPU time of a container, in cgroup versions 2 and 1: microseconds, nanoseconds.
CPU_TIME = "grep usage_usec /sys/fs/cgroup/cpu.stat 2>/dev/null || cat /sys/fs/cgroup/cpuacct/cpuacct.usage"
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


class Measured(NamedTuple):
    """The results of in_container.py."""

    seconds: list[float]  # of each event
    phases: list[list[float]]  # seconds, of each event
    burst: list[float]  # seconds
    game: tuple[list[float], float, int, int] | None = None  # seconds; seconds; bytes; runs


def measure(events: int, interval: float, delay: float | None) -> Measured:
    """Measure events, a burst and, with a `delay`, a whole game. The simulator's own game is stopped."""
    _compose("stop", "gamestream")
    options = [f"--events={events}", f"--interval={interval}", *([f"--delay={delay}"] if delay is not None else [])]
    output = _compose(*RUN, "user_code", "-m", "bench.in_container", *options)
    return Measured(**json.loads(output.splitlines()[-1]))


def at_rest(settle_seconds: float, seconds: float) -> dict[str, tuple[float, int]]:
    """The CPU seconds of each running service, within `seconds`, and the bytes of memory that Docker counts for it."""
    time.sleep(settle_seconds)
    services = _compose("ps", "--services", "--status", "running").split()
    before = {service: _cpu(service) for service in services}
    time.sleep(seconds)
    return {service: (_cpu(service) - before[service], _memory(service)) for service in services}


def _cpu(service: str) -> float:
    name, _, microseconds = _compose("exec", "-T", service, "sh", "-c", CPU_TIME).strip().rpartition(" ")
    return int(microseconds) / (1e6 if name else 1e9)


def _memory(service: str) -> int:
    container = _compose("ps", "--quiet", service).strip()
    shown = _output("docker", "stats", "--no-stream", "--format", "{{.MemUsage}}", container)
    (amount, unit) = re.findall(r"([\d.]+)(\w+)", shown)[0]
    return int(float(amount) * UNITS[unit])


def _compose(*arguments: str) -> str:
    return _output("docker", "compose", *arguments)


def _output(*command: str) -> str:
    return subprocess.run(command, cwd=BENCH.parent, stdout=subprocess.PIPE, text=True, check=True).stdout
