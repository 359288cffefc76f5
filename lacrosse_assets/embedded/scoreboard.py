"""The terminal view: a live scoreboard on a terminal, plain lines if the output goes to a file or a pipe."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from lacrosse_assets.game.document import Document

GAME_SECONDS = 60 * 60
EVENTS_SHOWN = 6
SCORERS_SHOWN = 5
COLORS = {"winning": "bold green", "losing": "red", "tied": "yellow"}


@contextmanager
def scoreboard() -> Iterator[Callable[[Document], None]]:
    """A function that shows a box score document. A document equal to the previous one is skipped."""
    console = Console()
    board = _Board()
    if not console.is_terminal:

        def print_line(document: Document) -> None:
            if board.take(document):
                console.print(board.line(), markup=False, highlight=False, soft_wrap=True)

        yield print_line
        return
    with Live(Text("Waiting for the first event ..."), console=console, refresh_per_second=10) as live:

        def update(document: Document) -> None:
            if board.take(document):
                live.update(board.render())

        yield update


class _Board:
    """The current document, and the last goals, derived from the documents before it."""

    def __init__(self) -> None:
        self._document: Document = {}
        self._goals: list[str] = []

    def take(self, document: Document) -> bool:
        """Make it the current document. False if it already is."""
        if document == self._document:
            return False
        self._goals = [*self._goals, *_new_goals(self._document, document)][-EVENTS_SHOWN:]
        self._document = document
        return True

    def line(self) -> str:
        document = self._document
        home, away = document["home"], document["away"]
        final = " final" if document["final"] else ""
        return f"{document['timestamp']} {home['name']} {home['score']} : {away['score']} {away['name']}{final}"

    def render(self) -> Panel:
        document = self._document
        teams = Table.grid(expand=True, padding=(0, 2))
        for justify in ("left", "right", "center", "left", "right"):
            teams.add_column(justify=justify, ratio=None if justify == "center" else 1)
        home, away = document["home"], document["away"]
        teams.add_row(
            Text(home["name"], style="bold"),
            Text(str(home["score"]), style=COLORS[home["status"]]),
            ":",
            Text(str(away["score"]), style=COLORS[away["status"]]),
            Text(away["name"], style="bold"),
        )
        teams.add_row(_record(home), Text(home["status"]), "", Text(away["status"]), _record(away))
        lists = Table.grid(expand=True, padding=(0, 2))
        lists.add_column(ratio=1)
        lists.add_column(ratio=1)
        lists.add_row(
            Group(Text("Last goals", style="underline"), *map(Text, reversed(self._goals))),
            Group(Text("Top scorers", style="underline"), *map(Text, _top_scorers(document))),
        )
        clock = Table.grid(expand=True, padding=(0, 1))
        clock.add_column()
        clock.add_column(ratio=1)
        played = GAME_SECONDS - _seconds(document["timestamp"])
        clock.add_row(document["timestamp"], ProgressBar(total=GAME_SECONDS, completed=played))
        title = "Final" if document["final"] else f"Event {document['_id']}"
        return Panel(Group(teams, Text(), clock, Text(), lists), title=title, width=76)


def show_table(name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a database table: styled on a terminal, otherwise as aligned plain text."""
    console = Console()
    numeric = [all(isinstance(row[index], int) for row in rows) for index in range(len(columns))]
    if console.is_terminal:
        table = Table(title=name, title_justify="left")
        for column, is_number in zip(columns, numeric, strict=True):
            table.add_column(column, justify="right" if is_number else "left")
        for row in rows:
            table.add_row(*(escape(str(value)) for value in row))
        console.print(table)
        return
    texts = [list(columns), *([str(value) for value in row] for row in rows)]
    widths = [max(len(text[index]) for text in texts) for index in range(len(columns))]
    print(f"\n{name}")
    for text in texts:
        cells = (
            value.rjust(width) if is_number else value.ljust(width)
            for value, width, is_number in zip(text, widths, numeric, strict=True)
        )
        print("  ".join(cells).rstrip(), flush=True)


def _new_goals(before: Document, now: Document) -> list[str]:
    """Descriptions of the goals in `now` that are not in `before`. There may be several between two polls."""
    goals = []
    for side in ("home", "away"):
        known = {player["id"]: player["goals"] for player in before.get(side, {}).get("players", [])}
        for player in now[side]["players"]:
            for _ in range(player["goals"] - known.get(player["id"], 0)):
                goals.append(f"{now['timestamp']} {player['name']} #{player['number']}, {now[side]['name']}")
    return goals


def _top_scorers(document: Document) -> list[str]:
    scorers = [
        (player, document[side]["name"])
        for side in ("home", "away")
        for player in document[side]["players"]
        if player["goals"]
    ]
    scorers.sort(key=lambda scorer: (-scorer[0]["goals"], scorer[0]["shots"]))
    return [
        f"{player['goals']} of {player['shots']}  {player['name']} #{player['number']}, {team}"
        for player, team in scorers[:SCORERS_SHOWN]
    ]


def _record(team: Document) -> Text:
    return Text(f"{team['conference']}, {team['wins']}-{team['losses']}")


def _seconds(clock: str) -> int:
    minutes, seconds = clock.split(":")
    return 60 * int(minutes) + int(seconds)
