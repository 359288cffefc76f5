"""The page in a real browser: a whole game, replays, lost connections, hostile names, accessibility."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, ViewportSize, expect, sync_playwright
from pymongo.uri_parser import parse_uri

from lacrosse_assets.embedded.boxscore_page import BoxscorePage
from lacrosse_assets_tests.page.browsers import NoBrowserError, chromium
from lacrosse_assets_tests.page.conftest import GAME, TIMEOUT_SECONDS, Scores, page_on
from lacrosse_assets_tests.support.proxy import proxy_to, uri_through
from lacrosse_assets_tests.support.waiting import wait_until
from lacrosse_assets_tests.support.world import PLAYERS, TEAMS

DESKTOP, PHONE = ViewportSize(width=1280, height=900), ViewportSize(width=360, height=740)

expect.set_options(timeout=TIMEOUT_SECONDS * 1000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        program = chromium()
    except NoBrowserError as error:
        pytest.fail(str(error), pytrace=False)
    with sync_playwright() as playwright, closing(playwright.chromium.launch(executable_path=program)) as browser:
        yield browser


@pytest.fixture
def tab(browser: Browser) -> Iterator[Page]:
    """A tab of a desktop browser. Any error, warning or dialog in it fails the test."""
    with closing(browser.new_context(viewport=DESKTOP, timezone_id="America/New_York", locale="en-US")) as context:
        tab = context.new_page()
        problems: list[str] = []

        def on_message(message: ConsoleMessage) -> None:
            # The browser logs a broken connection by itself; the page handles it.
            if message.type in ("error", "warning") and "net::ERR" not in message.text:
                problems.append(message.text)

        tab.on("console", on_message)
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("dialog", lambda dialog: problems.append(dialog.message))
        yield tab
        assert problems == []


def shows(tab: Page, home: int, away: int) -> None:
    """Wait until the tab shows this score."""
    expect(tab.locator("#score .home .points")).to_have_text(str(home))
    expect(tab.locator("#score .away .points")).to_have_text(str(away))


def test_the_page_follows_a_whole_game(tab: Page, page: BoxscorePage, scores: Scores) -> None:
    tab.goto(page.url)
    expect(tab.get_by_role("heading", name="Waiting for the game")).to_be_visible()
    tab.evaluate("window.stayed = true")

    scores.write(*GAME[:1])
    shows(tab, 1, 0)
    expect(tab.locator("#score .state")).to_contain_text("59:30")
    expect(tab.locator("#score .standing")).to_have_text("syracuse leads by 1")
    expect(tab.locator("#latest")).to_contain_text("Goal by #6 sam, syracuse")
    expect(tab).to_have_title("syracuse 1 : 0 johns hopkins")

    scores.write(*GAME[:2])
    expect(tab.locator("#latest")).to_contain_text("Shot by #8 kim, johns hopkins")
    expect(tab.locator("tr.fresh")).to_have_text([r"8kim100.00"], use_inner_text=False)
    scores.write(*GAME[:3])
    shows(tab, 1, 1)
    expect(tab.locator("#score .standing")).to_have_text("Tied")
    scores.write(*GAME[:4])
    expect(tab.locator("#latest")).to_contain_text("Goal by an unrostered player, johns hopkins")
    expect(tab.locator("#away tfoot")).to_contain_text("Not on the roster")

    for end in (5, 6):
        scores.write(*GAME[:end])
    scores.write(*GAME)
    expect(tab.locator("#score .badge")).to_have_text("Final")
    expect(tab.locator("#score .standing")).to_have_text("syracuse won by 1")
    expect(tab.locator("#score")).not_to_contain_text("Live")
    expect(tab).to_have_title("Final: syracuse 3 : 2 johns hopkins")
    expect(tab.locator("#latest")).to_contain_text("Last shot")
    expect(tab.locator("#goals li .result")).to_contain_text(["3–2", "2–2", "1–2", "1–1", "1–0"])
    sam = tab.locator("#home").get_by_role("row", name="6 sam 1 1 1.00")
    expect(sam).to_be_visible()
    assert tab.evaluate("window.stayed"), "the page was never reloaded"

    # The plot: a step and a dot at each goal, and the score in words.
    assert tab.locator("path.goals.home").get_attribute("d") == "M0.83 75.0h0M66.67 50.0h0M96.25 25.0h0"
    expect(tab.get_by_role("img", name="syracuse 3, johns hopkins 2 at 00:00")).to_be_visible()


def test_the_page_follows_a_replay(tab: Page, page: BoxscorePage, scores: Scores) -> None:
    scores.play(*GAME)
    tab.goto(page.url)
    expect(tab.locator("#score .badge")).to_have_text("Final")

    scores.write("0 58:00 205 6 1")

    shows(tab, 0, 1)
    expect(tab.locator("#score .badge")).to_have_text("Live")
    expect(tab.locator("#goals li")).to_have_count(1)
    scores.write("0 58:00 205 6 1", "1 57:00 101 0 1")
    shows(tab, 1, 1)


def test_shots_without_documents_are_shown_as_one_play(tab: Page, page: BoxscorePage, scores: Scores) -> None:
    scores.write(*GAME[:1])
    tab.goto(page.url)
    shows(tab, 1, 0)

    scores.write(*GAME[:4])

    expect(tab.locator("#latest")).to_contain_text("3 shots since 59:30, 2 of them goals:")
    expect(tab.locator("#latest")).to_contain_text("#8 kim, johns hopkins (1 of 2)")
    expect(tab.locator("#goals li")).to_have_count(2)
    expect(tab.locator("#goals li").first).to_contain_text("since 59:30: #8 kim, johns hopkins; an unrostered player")


def test_names_are_escaped(tab: Page, page: BoxscorePage, scores: Scores) -> None:
    evil = [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(2)>',
        "</svg></main><script>alert(3)</script>",
        "{{ 7 * 7 }}\r\n\r\nevent: message\r\ndata: <b>",
        "' onload='alert(4)",
    ]
    players = [{**player, "name": name} for player, name in zip(PLAYERS, evil, strict=False)]
    teams = [{**team, "name": f"</title><svg onload=alert({team['id']})>"} for team in TEAMS]
    rows = {"players": players, "teams": teams}
    tab.goto(page.url)  # so that they arrive as an event

    scores.write(*GAME[:1], **rows)
    for _ in range(2):
        shows(tab, 1, 0)
        for name in evil[:3]:
            expect(tab.locator("#home tbody").get_by_text(name, exact=True)).to_be_visible()
        expect(tab.locator("#away tbody")).to_contain_text("{{ 7 * 7 }}")
        expect(tab.locator("#latest")).to_contain_text(f"#6 {evil[0]}")
        expect(tab.get_by_role("heading", name=str(teams[0]["name"]), exact=True)).to_have_count(2)
        assert tab.title() == f"{teams[0]['name']} 1 : 0 {teams[1]['name']}"
        assert tab.locator("main script, main img, main svg[onload], [onload], main b:not(#latest b)").count() == 0
        tab.goto(page.url)  # and then as a page


def test_mongodb_is_unreachable_for_a_while(tab: Page, scores: Scores, tmp_path: Path) -> None:
    (host, port), *_ = parse_uri(scores.uri)["nodelist"]
    with proxy_to(host, port or 0) as proxy, page_on(uri_through(scores.uri, proxy.port), tmp_path) as page:
        scores.write(*GAME[:1])
        tab.goto(page.url)
        shows(tab, 1, 0)

        proxy.cut()
        expect(tab.locator("#stale")).to_contain_text("The database is unreachable. This is the game as of")
        # In the visitor's time zone; the server writes UTC.
        assert tab.locator("#stale time").text_content() != ""
        assert "UTC" not in (tab.locator("#stale time").text_content() or "")
        shows(tab, 1, 0)
        assert tab.request.get(f"{page.url}/healthz").json() == {"watching": True, "mongodb": "unreachable", "event": 0}
        scores.write(*GAME[:3])

        proxy.restore()
        shows(tab, 1, 1)
        expect(tab.locator("#stale")).to_have_count(0)
        page.check_alive()


def test_the_page_reconnects_to_its_server(tab: Page, scores: Scores, tmp_path: Path) -> None:
    scores.write(*GAME[:1])
    with page_on(scores.uri, tmp_path) as page:
        tab.goto(page.url)
        shows(tab, 1, 0)
        expect(tab.locator("#connection")).to_be_hidden()
    expect(tab.locator("#connection")).to_contain_text("The connection is lost; reconnecting.")

    scores.write(*GAME[:3])
    with page_on(scores.uri, tmp_path, urlsplit(page.url).port):
        shows(tab, 1, 1)
        expect(tab.locator("#connection")).to_be_hidden()


# Accessibility


def set_up(state: str, scores: Scores) -> None:
    """Bring the collection into this state."""
    if state == "live":
        scores.play(*GAME[:4])
    elif state == "final":
        scores.play(*GAME)
    elif state == "holes":
        scores.write(*GAME[:1])
        scores.write(*GAME[:5])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("state", ["empty", "live", "final", "holes"])
def test_axe_finds_no_violations(
    browser: Browser, page: BoxscorePage, scores: Scores, state: str, size: Any, scheme: Any
) -> None:
    set_up(state, scores)
    with closing(browser.new_context(viewport=size, color_scheme=scheme, reduced_motion="reduce")) as context:
        tab = context.new_page()
        tab.goto(page.url)
        expect(tab.locator("#waiting" if state == "empty" else "#score")).to_be_visible()

        found = Axe().run(tab).response["violations"]

        assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in found] == []
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "no horizontal scrolling"
        assert tab.evaluate("document.getAnimations().length") == 0, "no animations"


def test_axe_finds_a_planted_violation(tab: Page, page: BoxscorePage) -> None:
    tab.goto(page.url)
    tab.evaluate("document.querySelector('footer').insertAdjacentHTML('afterbegin', '<img src=\"static/icon.svg\">')")
    assert "image-alt" in [rule["id"] for rule in Axe().run(tab).response["violations"]]


def test_screen_readers_announce_goals_but_not_misses(tab: Page, page: BoxscorePage, scores: Scores) -> None:
    scores.play(*GAME[:1])
    wait_until(lambda: tab.request.get(f"{page.url}/healthz").json()["event"] == 0)  # so that it is not announced
    tab.goto(page.url)
    shows(tab, 1, 0)
    announcement = tab.locator("#announcement")
    expect(announcement).to_have_role("status")
    expect(announcement).to_be_empty()

    scores.write(*GAME[:2])
    expect(tab.locator("#latest")).to_contain_text("#8 kim")
    expect(announcement).to_be_empty()
    scores.write(*GAME[:3])
    expect(announcement).to_have_text("Goal by #8 kim, johns hopkins. syracuse 1, johns hopkins 1.")
    scores.write(*GAME)
    expect(announcement).to_have_text("Final. syracuse 3, johns hopkins 2.")


def test_unchanged_parts_stay_in_the_dom(tab: Page, page: BoxscorePage, scores: Scores) -> None:
    """A selection, or a screen reader's position in a table, survives an update."""
    scores.play(*GAME[:3])
    tab.goto(page.url)
    shows(tab, 1, 1)
    home, away = (tab.evaluate_handle(f"document.getElementById('{side}')") for side in ("home", "away"))

    scores.write(*GAME[:4])

    shows(tab, 1, 2)
    assert [tab.evaluate("table => table.isConnected", table) for table in (home, away)] == [True, False]


def test_keyboard_focus_is_visible(tab: Page, page: BoxscorePage, scores: Scores) -> None:
    scores.play(*GAME)
    tab.goto(page.url)
    expect(tab.locator("#score")).to_be_visible()
    tab.keyboard.press("Tab")
    expect(tab.get_by_role("link", name="The box score as JSON")).to_be_focused()
    assert tab.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


def test_the_page_works_without_javascript(browser: Browser, page: BoxscorePage, scores: Scores) -> None:
    scores.play(*GAME[:3])
    with closing(browser.new_context(java_script_enabled=False)) as context:
        tab = context.new_page()
        tab.goto(page.url)
        expect(tab.locator("#score, #waiting")).to_be_visible()
        while tab.locator("#waiting").count() or "40:00" not in tab.content():
            tab.reload()
        shows(tab, 1, 1)
        expect(tab.locator("#goals li")).to_have_count(2)
        scores.write(*GAME)
        while "Final" not in tab.content():
            tab.get_by_role("link", name="Show the newest score").click()
        shows(tab, 3, 2)
