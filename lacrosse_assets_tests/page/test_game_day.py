"""The page on a game day: the scoreboard and the pages of the games, over HTTP and in a real browser."""

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from lacrosse_assets.embedded.boxscore_page import BoxscorePage
from lacrosse_assets_tests.page.conftest import TIMEOUT_SECONDS, page_on
from lacrosse_assets_tests.page.games import Games
from lacrosse_assets_tests.page.test_app import listening, next_with
from lacrosse_assets_tests.page.test_browser import DESKTOP, PHONE, browser, shows, tab
from lacrosse_assets_tests.support.waiting import wait_until

__all__ = ["browser", "tab"]  # fixtures


@pytest.fixture(scope="module")
def day_page_process(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BoxscorePage]:
    with page_on(mongodb, tmp_path_factory.mktemp("page"), gamestream_key="games/") as page:
        yield page


@pytest.fixture
def games(mongodb: str) -> Iterator[Games]:
    """The empty collection."""
    with closing(Games(mongodb)) as games:
        games.clear()
        yield games


@pytest.fixture
def page(day_page_process: BoxscorePage, games: Games) -> BoxscorePage:
    """The page, once it shows that there is no game."""
    wait_until(lambda: "Waiting for the first game" in httpx.get(day_page_process.url).text)
    return day_page_process


@pytest.fixture
def http(page: BoxscorePage) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page.url, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        yield client


def health(http: httpx.Client) -> dict[str, Any]:
    answer: dict[str, Any] = http.get("healthz").json()
    return answer


# HTTP


def test_the_scoreboard_lists_live_games_before_final_ones(http: httpx.Client, games: Games) -> None:
    games.write(1)
    written = games.write(3, 30)
    games.write(2, 10)
    wait_until(lambda: health(http) == {"watching": True, "mongodb": "up", "live": 2, "final": 1})
    lines = http.get("games.json").json()
    assert [line["_id"] for line in lines] == [2, 3, 1]
    assert lines[1]["home"] == {key: written["home"][key] for key in ("teamid", "name", "score", "status")}
    assert (lines[1]["timestamp"], lines[1]["event"], lines[1]["day"]) == (written["timestamp"], 29, "2026-03-07")
    assert "plays" not in lines[1]
    page = http.get("/").text
    assert [page.index(f'href="games/{number}"') for number in (2, 3, 1)] == sorted(
        page.index(f'href="games/{number}"') for number in (2, 3, 1)
    )


def test_the_document_of_a_game_is_what_mongodb_has(http: httpx.Client, games: Games) -> None:
    written = dict(games.write(3, 30))
    wait_until(lambda: health(http)["live"] == 1)
    answer = http.get("games/3/boxscore.json")
    assert {**answer.json(), "stream": None} == {**written, "stream": None}
    again = http.get("games/3/boxscore.json", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304


def test_a_game_without_a_document_waits_for_it(http: httpx.Client, games: Games) -> None:
    games.write(1, 1)
    wait_until(lambda: health(http)["live"] == 1)
    assert "Waiting for the game" in http.get("games/4").text
    assert http.get("games/4/boxscore.json").status_code == 404
    assert http.get("games/x").status_code == 404
    with listening(http, "games/4/events") as events:
        next_with(events, "Waiting for the game")
        games.write(4, 1)
        next_with(events, 'id="score"')


def test_documents_of_others_are_not_read(http: httpx.Client, games: Games) -> None:
    games.collection.insert_many([{"_id": "1"}, {"_id": 8, "home": {"players": 1}, "away": {"players": 1}, "event": 1}])
    games.write(2, 5)
    games.write(3, 5, plays="none")
    wait_until(lambda: health(http)["live"] == 2)
    assert [line["_id"] for line in http.get("games.json").json()] == [2, 3]
    assert http.get("games/3/boxscore.json").status_code == 404, "its line can be shown, and its page cannot"


def test_only_the_rows_that_have_changed_are_sent(http: httpx.Client, games: Games) -> None:
    for number in (1, 2, 3, 4):
        games.write(number, 5)
    wait_until(lambda: health(http)["live"] == 4)
    with listening(http) as events:
        first = next(events)
        assert all(f'<tr id="game-{number}" data-ahead=' in first for number in (1, 2, 3, 4))
        games.write(2, 6)
        second = next(events)
        assert '<tr id="game-2" data-ahead=' in second
        assert all(f'<tr id="game-{number}" data-unchanged></tr>' in second for number in (1, 3, 4))
    with listening(http) as events:
        assert "data-unchanged" not in next(events), "another visitor has no rows yet"


def test_the_visitors_of_a_game_share_one_query(http: httpx.Client, games: Games) -> None:
    """And no visitor is sent an event for a change of another game."""
    games.write(1, 5)
    games.write(2, 5)
    wait_until(lambda: health(http)["live"] == 2)
    with listening(http, "games/1/events") as one, listening(http, "games/1/events") as two:
        assert next(one) == next(two)
        games.write(2, 6)
        games.write(1, 20)
        clock = games.game(1).events[19].clock
        assert clock in (sent := next(one))
        assert next(two) == sent


def test_a_thousand_games(mongodb: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    """One change is a small event."""
    with (
        closing(Games(mongodb, 1000)) as games,
        page_on(mongodb, tmp_path_factory.mktemp("page"), gamestream_key="games/") as page,
        httpx.Client(base_url=page.url, timeout=TIMEOUT_SECONDS, trust_env=False) as http,
    ):
        games.clear()
        games.write(1, 20)
        one = games.collection.find_one({"_id": 1}) or {}
        games.collection.insert_many([{**one, "_id": number} for number in range(2, 1001)])
        wait_until(lambda: health(http)["live"] == 1000)
        with listening(http) as events:
            assert len(next(events)) > 200_000
            games.write(7, 21)
            changed = next_with(events, games.game(7).events[20].clock)
            assert len(changed) < 60_000
        games.clear()


def test_the_single_game_has_no_pages_of_games(page_process: BoxscorePage) -> None:
    assert httpx.get(f"{page_process.url}/games/1").status_code == 404
    assert httpx.get(f"{page_process.url}/games.json").status_code == 404


# The browser


def row(tab: Page, game_id: int) -> Any:
    return tab.locator(f"#game-{game_id}")


def test_the_scoreboard_follows_the_day(tab: Page, page: BoxscorePage, games: Games) -> None:
    tab.goto(page.url)
    expect(tab.get_by_role("heading", name="Waiting for the first game")).to_be_visible()
    tab.evaluate("window.stayed = true")

    written = games.write(3, 20)
    expect(row(tab, 3)).to_contain_text(written["timestamp"])
    expect(tab.get_by_role("heading", name="Scoreboard of 2026-03-07")).to_be_visible()
    expect(tab.get_by_role("heading", name="Live 1")).to_be_visible()
    expect(tab).to_have_title("Scoreboard: 1 live, 0 final")
    games.write(1, 20)
    games.write(4, 20)
    expect(tab.locator("#live tbody tr")).to_have_count(3)
    assert tab.locator("#live tbody tr").evaluate_all("rows => rows.map(row => row.id)") == [
        "game-1",
        "game-3",
        "game-4",
    ]

    final = games.write(3)
    expect(tab.locator("#final tbody tr")).to_have_count(1)
    expect(row(tab, 3)).to_contain_text("Final")
    expect(row(tab, 3).locator(".result")).to_have_text(f"{final['home']['score']} to {final['away']['score']}")
    expect(tab.locator("#announcement")).to_have_text("2 live, 1 final.")
    games.write(1)
    games.write(4)
    expect(tab.locator("#final tbody tr")).to_have_count(3)
    expect(tab.locator("#live table")).to_be_hidden()
    # A replay
    games.write(1, 2)
    expect(tab.locator("#live tbody tr")).to_have_count(1)
    assert tab.evaluate("window.stayed"), "the page was never reloaded"


def test_the_team_that_leads_is_bold(tab: Page, page: BoxscorePage, games: Games) -> None:
    """Also when the lead changes, and the names do not."""
    bold = "spans => spans.filter(span => getComputedStyle(span).fontWeight >= 600).map(span => span.textContent)"
    tab.goto(page.url)
    teams = {"home": games.write(1, 5)["home"], "away": games.write(1, 5)["away"]}
    for home, away in ((1, 0), (1, 1), (1, 2), (3, 2)):
        scores = {"home": {**teams["home"], "score": home}, "away": {**teams["away"], "score": away}}
        games.write(1, 5, fingerprint=f"{home}{away}", **scores)
        expect(row(tab, 1).locator(".result")).to_have_text(f"{home} to {away}")
        ahead = [(teams["home"], home)] if home > away else [(teams["away"], away)] if away > home else []
        assert row(tab, 1).locator("span:not(.unseen, td:last-child span)").evaluate_all(bold) == [
            text for team, score in ahead for text in (team["name"], str(score))
        ]


def test_focus_and_rows_stay_during_updates(tab: Page, page: BoxscorePage, games: Games) -> None:
    """Somebody who goes through the games with the keyboard is not thrown out at each goal."""
    for number in (1, 2, 3):
        games.write(number, 5)
    tab.goto(page.url)
    expect(tab.locator("#live tbody tr")).to_have_count(3)
    link = row(tab, 2).get_by_role("link")
    link.focus()
    handles = {number: tab.evaluate_handle(f"document.getElementById('game-{number}')") for number in (1, 2, 3)}
    blurs = "document.activeElement.addEventListener('blur', () => window.blurred = true)"
    tab.evaluate(blurs)

    games.write(2, 30)
    expect(row(tab, 2)).to_contain_text(games.game(2).events[29].clock)
    games.write(1)
    expect(tab.locator("#final tbody tr")).to_have_count(1)
    games.write(4, 1)
    expect(tab.locator("#live tbody tr")).to_have_count(3)

    expect(link).to_be_focused()
    assert not tab.evaluate("window.blurred")
    assert all(tab.evaluate("row => row.isConnected", handle) for handle in handles.values())
    tab.keyboard.press("Enter")
    expect(tab).to_have_url(f"{page.url}/games/2")
    expect(tab.locator("#score")).to_be_visible()


def test_the_page_of_a_game_is_that_of_the_single_game(tab: Page, page: BoxscorePage, games: Games) -> None:
    written = games.write(2, 10)
    home, away = written["home"], written["away"]
    tab.goto(f"{page.url}/games/2")
    shows(tab, home["score"], away["score"])
    expect(tab.locator("#score .state")).to_contain_text(written["timestamp"])
    expect(tab).to_have_title(f"{home['name']} {home['score']} : {away['score']} {away['name']}")
    expect(tab.locator("#goals li")).to_have_count(home["score"] + away["score"])
    expect(tab.locator("#home tbody tr")).to_have_count(len(home["players"]))

    written = games.write(2)
    home, away = written["home"], written["away"]
    shows(tab, home["score"], away["score"])
    expect(tab.locator("#score .badge")).to_have_text("Final")
    expect(tab.locator("#goals li")).to_have_count(home["score"] + away["score"])
    address = tab.get_by_role("link", name="The box score as JSON").evaluate("link => link.href")
    assert tab.request.get(address).json()["_id"] == 2
    tab.get_by_role("link", name="All games").click()
    expect(tab.get_by_role("heading", name="Scoreboard of")).to_be_visible()


def test_a_game_that_is_far_behind_is_marked(tab: Page, page: BoxscorePage, games: Games) -> None:
    written = games.write(1, 5)
    late = {**written["stream"], "last_modified": written["stream"]["fetched_at"].replace(year=2025)}
    games.write(1, 6, stream=late)
    tab.goto(page.url)
    expect(row(tab, 1).locator(".late")).to_contain_text("s behind")


def test_names_are_escaped(tab: Page, page: BoxscorePage, games: Games) -> None:
    evil = '"><img src=x onerror=alert(1)><script>alert(2)</script>'
    tab.goto(page.url)
    games.write(1, 5, home={**games.write(2, 5)["home"], "name": evil})
    for _ in range(2):
        expect(row(tab, 1).get_by_text(evil)).to_be_visible()
        assert tab.locator("main script, main img").count() == 0
        tab.goto(page.url)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("state", ["empty", "live", "final"])
def test_axe_finds_no_violations(
    browser: Browser, page: BoxscorePage, games: Games, state: str, size: Any, scheme: Any
) -> None:
    if state != "empty":
        for number in (1, 2, 3, 4):
            games.write(number, 5 if state == "live" and number < 4 else None)
    with closing(browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")) as context:
        tab = context.new_page()
        for path in ("", "/games/1"):
            tab.goto(f"{page.url}{path}")
            expect(tab.locator("#waiting" if state == "empty" else "#score" if path else "#game-4")).to_be_visible()
            found = Axe().run(tab).response["violations"]
            assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
            assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no horizontal scrolling"


def test_the_scoreboard_works_without_javascript(browser: Browser, page: BoxscorePage, games: Games) -> None:
    games.write(1, 5)
    with closing(browser.new_context(java_script_enabled=False)) as context:
        tab = context.new_page()
        tab.goto(page.url)
        while not row(tab, 1).count():
            tab.reload()
        row(tab, 1).get_by_role("link").click()
        expect(tab.locator("#score")).to_be_visible()


def test_games_of_several_days_have_their_date(tab: Page, page: BoxscorePage, games: Games) -> None:
    games.write(1)
    tab.goto(page.url)
    expect(row(tab, 1)).to_be_visible()
    expect(row(tab, 1)).not_to_contain_text("2026-03-07")

    games.write(2, 5, day="2026-03-08")

    expect(row(tab, 1)).to_contain_text("2026-03-07")
    expect(row(tab, 2)).to_contain_text("2026-03-08")
    expect(tab.get_by_role("heading", name="Scoreboard", exact=True)).to_be_visible()
