"""Measures the latency from a document's write to many visitors: `python -m examples.boxscore_page.bench`.

Run it in the project's root. It starts a MongoDB stand-in and one process of the page. Each visitor is a connection to
`/events`.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles
from typing import Any

import httpx
from pymongo import AsyncMongoClient

from lacrosse_assets.embedded.boxscore_page import BoxscorePage
from lacrosse_assets.embedded.ports import ANY_PORT, LOOPBACK, free_ports
from lacrosse_assets.embedded.services import document_store

# A replica set has change streams, a standalone server has none.
SERVERS: Mapping[str, tuple[str, ...]] = {"change stream": (), "polling": ("--standalone",)}
PLAYERS_PER_TEAM = 10
TIMEOUT_SECONDS = 60  # after the last document


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the latency from a document's write to many visitors.")
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--events", type=int, default=40, help="number of documents to write")
    parser.add_argument("--pace", type=float, default=0.5, help="seconds between two documents")
    options = parser.parse_args()
    print(f"{options.viewers} viewers, {options.events} documents, one every {options.pace} s; milliseconds\n")
    print(f"{'':16}{'p50':>8}{'p95':>8}{'worst':>8}{'missed':>8}")
    for name, how in SERVERS.items():
        viewers = measure(how, options.viewers, options.events, options.pace)
        delays = [delay for viewer in viewers for delay in viewer.values()]
        missed = options.viewers * options.events - len(delays)
        centiles = quantiles(delays, n=100)
        cells = (1000 * seconds for seconds in (centiles[49], centiles[94], max(delays)))
        print(f"{name:16}{''.join(f'{cell:8.0f}' for cell in cells)}{missed:8}", flush=True)


def measure(server: tuple[str, ...], viewers: int, events: int, pace: float) -> list[dict[int, float]]:
    """For each viewer, the latency of each event that it received, in seconds from just before the document's write.

    `server` are options of the MongoDB stand-in; `events` documents are written, one every `pace` seconds.
    """
    with ExitStack() as stack:
        state_dir = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="boxscore-bench-")))
        mongodb_port, page_port = free_ports(ANY_PORT, ANY_PORT)
        uri = f"mongodb://{LOOPBACK}:{mongodb_port}"
        mongodb = document_store(state_dir, mongodb_port, *server)
        page = BoxscorePage(state_dir, uri, print, page_port, checkout=Path(__file__).parents[2])
        for process in (mongodb, page):
            stack.callback(process.stop)
            process.start()
            process.wait_until_up()
        return asyncio.run(_play(uri, page.url, viewers, events, pace))


async def _play(uri: str, url: str, viewers: int, events: int, pace: float) -> list[dict[int, float]]:
    written: dict[int, float] = {}
    received: list[dict[int, float]] = [{} for _ in range(viewers)]
    connected = asyncio.Semaphore(0)

    async def view(client: httpx.AsyncClient, delays: dict[int, float]) -> None:
        async with client.stream("GET", "events") as response:
            connected.release()
            async for line in response.aiter_lines():
                if line.startswith("id: "):
                    event = int(line.removeprefix("id: "))
                    delays[event] = time.perf_counter() - written[event]
                    if event == events - 1:
                        return

    limits = httpx.Limits(max_connections=None)
    async with (
        AsyncMongoClient[dict[str, Any]](uri) as mongodb,
        httpx.AsyncClient(base_url=url, limits=limits, timeout=TIMEOUT_SECONDS, trust_env=False) as client,
    ):
        watching = [asyncio.create_task(view(client, delays)) for delays in received]
        for _ in watching:
            await connected.acquire()
        for document in game(events):
            written[document["_id"]] = time.perf_counter()
            await mongodb["sidearm"]["boxscores"].replace_one({"_id": document["_id"]}, document, upsert=True)
            await asyncio.sleep(pace)
        with suppress(TimeoutError):
            async with asyncio.timeout(TIMEOUT_SECONDS):
                await asyncio.gather(*watching)
    return received


def game(events: int) -> Iterator[dict[str, Any]]:
    """The documents of a game with one shot per event, as the platform writes them. Always the same game."""
    dice = random.Random(0)  # noqa: S311 (not a secret)
    sides: dict[str, dict[str, Any]] = {
        side: {
            **{"teamid": teamid, "name": name, "conference": "acc", "wins": 0, "losses": 0, "score": 0},
            "players": [
                {"id": teamid * 100 + n, "name": f"player {n}", "number": str(n), "shots": 0, "goals": 0, "pct": 0.0}
                for n in range(PLAYERS_PER_TEAM)
            ],
        }
        for side, teamid, name in (("home", 101, "syracuse"), ("away", 205, "johns hopkins"))
    }
    for event in range(events):
        side = dice.choice(list(sides.values()))
        player, goal = dice.choice(side["players"]), dice.random() < 0.3
        player["shots"] += 1
        player["goals"] += goal
        player["pct"] = round(player["goals"] / player["shots"], 2)
        side["score"] += goal
        home, away = (team["score"] for team in sides.values())
        sides["home"]["status"] = "tied" if home == away else "winning" if home > away else "losing"
        sides["away"]["status"] = "tied" if home == away else "winning" if away > home else "losing"
        left, now = 3600 - 3600 * (event + 1) // events, datetime.now(UTC)
        yield {
            "_id": event,
            "timestamp": f"{left // 60:02}:{left % 60:02}",
            **sides,
            "final": event == events - 1,
            "stream": {"etag": str(event), "last_modified": now, "fetched_at": now},
        }


if __name__ == "__main__":
    main()
