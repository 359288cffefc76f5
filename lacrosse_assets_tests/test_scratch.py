import os, time, resource, sys, random
import builtins


def print(*a, **k):
    with open("/tmp/h/hostile-res.log", "a") as f:
        builtins.print(*a, file=f, flush=True)


import pytest
from lacrosse_assets_tests.world import *

MB = int(os.environ.get("MB", "5"))


def events(n, start=0):
    return b"".join(
        b"%d %02d:%02d %d %d %d\n" % (i, 59 - i % 60, i % 60, (101, 205)[i % 2], 6, i % 7 == 0)
        for i in range(start, start + n)
    )


def body(kind):
    size = MB * 1_000_000
    if kind == "dirt":
        line = b"2026-11-24T04:45:12Z INFO something else happened here\n"
        return events(50) + line * (size // len(line)) + b"99 00:10 0 0 0\n"
    if kind == "repeated":
        e = events(50)
        return e * (size // len(e))
    if kind == "long":
        return events(50) + (b"x" * 1_000_000 + b"\n") * MB + b"99 00:10 0 0 0\n"
    if kind == "clash":
        return events(50) + b"0 11:11 101 6 0\n" * (size // 16)
    if kind == "strangers":
        n = size // 21
        # one event id clash-free but strange jerseys
        return b"".join(b"%d 59:10 101 j%d 1\n" % (i, i) for i in range(n))
    if kind == "events":
        return events(size // 21)


@pytest.mark.timeout(3000)
@pytest.mark.parametrize("kind", os.environ.get("KINDS", "dirt repeated long clash").split())
def test_it(world, kind):
    b = body(kind)
    print(kind, len(b), b.count(b"\n"), "lines")
    world.put(body=b)
    for asset in LIVE:
        t = time.monotonic()
        r = world.materialize(asset)
        print(
            "  ",
            asset,
            r.success,
            round(time.monotonic() - t, 1),
            "s; RSS max MB",
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
            "log lines",
            len(r.log),
            "log bytes",
            sum(map(len, r.log)),
            {k: v[-1500:] if len(v) > 1500 else v for k, v in r.failures.items()},
            flush=True,
        )
        if r.success:
            print("      metadata bytes", {k: len(str(v)) for k, v in r.metadata[asset].items()})
        if not r.success:
            break
