"""`make screenshots`: the pictures of README and docs, of a game and a game day that are played for them."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from playwright.sync_api import Page, sync_playwright
from pymongo import MongoClient

from lacrosse_assets.embedded.boxscore_page import BoxscorePage
from lacrosse_assets.embedded.cli import boxscore_page, environment
from lacrosse_assets.embedded.dagster_dev import DagsterDev
from lacrosse_assets.embedded.services import EmbeddedServices
from lacrosse_assets.embedded.supervision import stop_on_signals
from lacrosse_assets.game.tables import FINAL_TABLES
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.page.browsers import chromium
from lacrosse_assets_tests.support.waiting import wait_until

IMAGES = PROJECT_ROOT / "docs" / "images"
MID_GAME = 40  # the event at which the pictures of the live game are taken
GAMES, FINAL_GAMES = 12, 3  # of the game day, and how many of them are over when its pictures are taken
RENDER_SECONDS = 4  # that the Dagster UI takes to draw


def main() -> None:
    IMAGES.mkdir(parents=True, exist_ok=True)
    with stop_on_signals():
        with _platform(DELAY="0.04") as (up, dagster, page, tab):
            simulator = subprocess.Popen([sys.executable, "-m", "lacrosse_assets.gamestream"])
            _wait_for_event(up, MID_GAME)
            _shoot(tab, page.url, "page")
            _shoot(tab, f"{dagster.url}/assets/boxscore_doc", "boxscore_doc")
            simulator.wait()
            _wait_for_finals(dagster.url)
            groups = ",".join(f"global@global:{group}" for group in ("sources", "live", "final"))
            _shoot(tab, f"{dagster.url}/asset-groups?expanded={groups}", "lineage")
        with _platform(DELAY="0.04", GAMESTREAM_KEY="games/", GAMES=str(GAMES)) as (up, dagster, page, tab):
            simulator = subprocess.Popen([sys.executable, "-m", "lacrosse_assets.gamestream"])
            _wait_for_final_games(up, FINAL_GAMES)
            _shoot(tab, page.url, "scoreboard")
            _shoot(tab, f"{dagster.url}/assets/boxscore_doc?view=checks&checkDetail=game_over", "gameday")
            simulator.terminate()
            simulator.wait()


@contextmanager
def _platform(**settings: str) -> Iterator[tuple[EmbeddedServices, DagsterDev, BoxscorePage, Page]]:
    """A platform of its own with the box score page, and a browser's tab."""
    with tempfile.TemporaryDirectory(prefix="lacrosse-screenshots-") as folder:
        os.environ.update(LACROSSE_STATE_DIR=folder, **settings)
        with environment() as (up, dagster), boxscore_page(up, PROJECT_ROOT) as page, sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium())
            yield up, dagster, page, browser.new_page(viewport={"width": 1360, "height": 860}, device_scale_factor=1)
            browser.close()


def _wait_for_event(up: EmbeddedServices, event: int) -> None:
    with MongoClient[dict[str, object]](up.addresses["MONGODB_URI"]) as client:
        boxscores = client["sidearm"]["boxscores"]
        wait_until(lambda: boxscores.find_one({"_id": {"$gte": event}}), f"event {event}")


def _wait_for_final_games(up: EmbeddedServices, games: int) -> None:
    with MongoClient[dict[str, object]](up.addresses["MONGODB_URI"]) as client:
        documents = client["sidearm"]["games"]
        wait_until(lambda: documents.count_documents({"final": True}) >= games, f"{games} final games", timeout=300)


def _wait_for_finals(url: str) -> None:
    from dagster_graphql import DagsterGraphQLClient

    dagster = DagsterGraphQLClient(url.removeprefix("http://").split(":")[0], port_number=int(url.rsplit(":", 1)[1]))
    query = "{ assetNodes { assetKey { path } assetMaterializations(limit: 1) { runId } } }"

    def are_made() -> bool:
        nodes = dagster._execute(query)["assetNodes"]
        made = {node["assetKey"]["path"][-1] for node in nodes if node["assetMaterializations"]}
        return made >= set(FINAL_TABLES)

    wait_until(are_made, "the final tables")


def _shoot(tab: Page, url: str, name: str) -> None:
    tab.goto(url)
    time.sleep(RENDER_SECONDS)
    file = IMAGES / f"{name}.png"
    tab.screenshot(path=file)
    click.echo(file)


if __name__ == "__main__":
    main()
