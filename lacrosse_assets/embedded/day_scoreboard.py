"""The terminal view of a game day: a live table on a terminal, a line now and then if the output goes elsewhere."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lacrosse_assets.game.document import Document

REPORT_INTERVAL_SECONDS = 5.0  # between two lines, where there is no terminal
OTHER_LINES = 5  # of the table: title, heads, the line for the games that do not fit, a line at the end
MAX_WIDTH = 78
BEHIND_SECONDS = 3  # less may be rounding: the object store's times are whole seconds

Show = Callable[[Sequence[Document]], None]


@contextmanager
def day_scoreboard(scheduled: int, console: Console | None = None) -> Iterator[Show]:
    """A function that shows the documents of `scheduled` games. Their lists are not needed."""
    console = console or Console()
    board = DayBoard(scheduled)
    if not console.is_terminal:
        reported_at = -REPORT_INTERVAL_SECONDS

        def report(games: Sequence[Document]) -> None:
            nonlocal reported_at
            ended = board.take(games)
            for game in ended:
                _print(console, f"final: {score(game)}")
            if ended or (games and time.monotonic() - reported_at >= REPORT_INTERVAL_SECONDS):
                _print(console, board.counts())
                reported_at = time.monotonic()

        yield report
        return
    with Live(board.render(console.height), console=console, refresh_per_second=10) as live:

        def update(games: Sequence[Document]) -> None:
            board.take(games)
            live.update(board.render(console.height))

        yield update


class DayBoard:
    """The games as they are now, and in which order they have last changed."""

    def __init__(self, scheduled: int) -> None:
        self._scheduled = scheduled
        self._games: dict[int, Document] = {}  # the one that has changed last is the last

    def take(self, games: Sequence[Document]) -> list[Document]:
        """Make these the current documents. Returns those that have become final."""
        ended = []
        for game in games:
            before = self._games.get(game["_id"])
            if game != before:
                self._games.pop(game["_id"], None)
                self._games[game["_id"]] = game
                if game["final"] and not (before and before["final"]):
                    ended.append(game)
        return ended

    def counts(self) -> str:
        """How many games are live, final and not started."""
        final = sum(game["final"] for game in self._games.values())
        live = len(self._games) - final
        goals = sum(game[side]["score"] for game in self._games.values() for side in ("home", "away"))
        return f"{live} live, {final} final, {self._scheduled - len(self._games)} not started; {goals} goals"

    def render(self, height: int) -> RenderableType:
        """A table that fits into a terminal with `height` lines."""
        table = Table.grid(padding=(0, 1), expand=True)
        table.title, table.title_justify = Text(f"Game day: {self.counts()}", style="bold"), "left"
        table.width = MAX_WIDTH
        table.add_column(justify="right", no_wrap=True)
        table.add_column(justify="right", no_wrap=True, ratio=1)
        table.add_column(justify="right", no_wrap=True, min_width=2)
        table.add_column(justify="right", no_wrap=True, min_width=2)
        table.add_column(justify="left", no_wrap=True, ratio=1)
        table.add_column(justify="right", no_wrap=True, width=16)
        shown = self._shown(max(1, height - OTHER_LINES))
        for game in shown:
            table.add_row(*_cells(game), style="dim" if game["final"] else None)
        if rest := len(self._games) - len(shown):
            table.add_row("", f"and {rest} more", style="dim")
        return table

    def _shown(self, room: int) -> list[Document]:
        """All games by id; if there are too many, those that have changed last, live ones first."""
        if len(self._games) <= room:
            return [self._games[number] for number in sorted(self._games)]
        latest = reversed(self._games.values())
        return sorted(latest, key=lambda game: bool(game["final"]))[:room]


def score(game: Document) -> str:
    """The score in one line."""
    home, away = game["home"], game["away"]
    return f"{home['name']} {home['score']} : {away['score']} {away['name']}"


def _cells(game: Document) -> list[Text]:
    home, away = game["home"], game["away"]
    ahead = {side: "bold" if game[side]["status"] == "winning" else "" for side in ("home", "away")}
    return [
        Text(str(game["_id"]), style="dim"),
        Text(home["name"], style=ahead["home"], overflow="ellipsis"),
        Text(str(home["score"]), style=ahead["home"]),
        Text(str(away["score"]), style=ahead["away"]),
        Text(away["name"], style=ahead["away"], overflow="ellipsis"),
        _state(game),
    ]


def _state(game: Document) -> Text:
    if game["final"]:
        return Text("final")
    behind = _behind(game)
    return Text.assemble((f"{behind} s late ", "red") if behind else "", game["timestamp"])


def _behind(game: Document) -> int | None:
    """How many seconds after the stream this update was read, if that is worth a mark."""
    written, read = game["stream"]["last_modified"], game["stream"]["fetched_at"]
    if not (isinstance(written, datetime) and isinstance(read, datetime)):
        return None
    late = int((read - written).total_seconds())
    return late if late >= BEHIND_SECONDS else None


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False, soft_wrap=True)
