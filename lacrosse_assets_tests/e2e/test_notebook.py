"""Runs the notebooks from top to bottom on the embedded services."""

import html
import os
import re
import sys
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nbformat
import numpy as np
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from matplotlib.colors import to_rgb
from matplotlib.image import imread
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.support.day import DAY, PREFIX, Day
from lacrosse_assets_tests.support.world import ENDED, LIVE, MIDDLE, World, closed_port, new_embedded_world

NOTEBOOKS = PROJECT_ROOT / "notebooks"
HOME_COLOUR, AWAY_COLOUR = "#D55E00", "#0072B2"


world = pytest.fixture(new_embedded_world)


class Notebook:
    """A notebook with its kernel, which keeps its state between runs."""

    def __init__(self, client: NotebookClient):
        self._client = client

    def run_all_cells(self) -> None:
        for index, cell in enumerate(self._client.nb.cells):
            self._client.execute_cell(cell, index)
        assert [output.text for output in self._outputs if output.get("name") == "stderr"] == []

    def ask(self, expression: str) -> str:
        """The value of an expression, evaluated in an additional cell."""
        self._client.nb.cells.append(nbformat.v4.new_code_cell(expression))
        self._client.execute_cell(self._client.nb.cells[-1], len(self._client.nb.cells) - 1)
        (output,) = self._client.nb.cells.pop().outputs
        return str(output.data["text/plain"])

    def printed(self, cell: str) -> str:
        return "".join(output.text for output in self._outputs_of(cell) if output.output_type == "stream")

    def table(self, cell: str) -> list[list[str]]:
        """The cells of the table at the end of a cell's output, header first."""
        (shown,) = (output.data["text/html"] for output in self._outputs_of(cell) if "data" in output)
        rows = [re.findall(r"<t[hd]>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", shown)]
        assert not any("<" in field for row in rows for field in row), "a name is text, not HTML"
        return [[html.unescape(field) for field in row] for row in rows]

    def plot(self) -> Any:
        """The plot's pixels, as an array of height, width and red, green, blue, alpha from 0 to 1."""
        (shown,) = (output.data["image/png"] for output in self._outputs_of("plot") if "data" in output)
        return imread(BytesIO(b64decode(shown)), format="png")

    @property
    def everything(self) -> str:
        """The content of the saved notebook, errors included."""
        return str(nbformat.writes(self._client.nb))

    @property
    def _outputs(self) -> list[Any]:
        return [output for cell in self._client.nb.cells for output in cell.get("outputs", [])]

    def _outputs_of(self, cell_id: str) -> list[Any]:
        (cell,) = (cell for cell in self._client.nb.cells if cell.id == cell_id)
        return list(cell.outputs)


@contextmanager
def opened(environ: Mapping[str, str], folder: Path, name: str = "boxscore.ipynb") -> Iterator[Notebook]:
    """A notebook in a kernel of this interpreter, with this environment and no settings of the user."""
    own = KernelSpecManager(kernel_dirs=[])  # no installed kernels: only ipykernel's own, which runs sys.executable
    manager = AsyncKernelManager(kernel_spec_manager=own, connection_file=str(folder / "kernel.json"))
    assert manager.format_kernel_cmd()[0] == sys.executable
    client = NotebookClient(nbformat.read(NOTEBOOKS / name, as_version=4), km=manager, timeout=120)
    kernel = {**environ, "PATH": os.environ["PATH"], "HOME": str(folder)}
    with client.setup_kernel(env=kernel, cwd=str(folder), cleanup_kc=True):
        yield Notebook(client)


def first_half(plot: Any, colour: str) -> int:
    """The number of pixels in the left half, below the legend, that have approximately this colour."""
    height, width, _ = plot.shape
    return int((np.abs(plot[height // 6 :, : width // 2, :3] - to_rgb(colour)).max(axis=-1) < 0.02).sum())


def second_half(plot: Any, colour: str) -> int:
    return first_half(plot[:, ::-1], colour)


@pytest.mark.parametrize("file", sorted(NOTEBOOKS.glob("*.ipynb")), ids=lambda file: file.stem)
def test_it_is_committed_without_outputs(file: Path) -> None:
    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [(cell.execution_count, cell.outputs) for cell in code] == [(None, [])] * len(code)


def test_before_the_first_game_it_reports_what_is_missing(world: World, tmp_path: Path) -> None:
    environ = {**world.environ, "SIDEARMDB_URL": f"sqlite:///{tmp_path / 'nothing.db'}"}
    with opened(environ, tmp_path) as notebook:
        notebook.run_all_cells()
        uri = f"s3://{environ['GAMESTREAM_BUCKET']}/{environ['GAMESTREAM_KEY']}"
        assert notebook.printed("stores") == f"No {uri} yet: start a game, then run all cells again.\n"
        assert notebook.printed("boxscore").startswith("Not final: there is no box score yet")
        assert notebook.printed("plot") == "No shots yet.\n"
        assert [len(notebook.table(cell)) for cell in ("stream", "invalid-lines", "teams", "boxscore")] == [1, 1, 1, 1]


def test_it_follows_a_game(world: World, tmp_path: Path) -> None:
    with opened(world.environ, tmp_path) as notebook:
        world.put(*MIDDLE, "3 30:00 101 6")
        world.materialize(*LIVE)
        notebook.run_all_cells()
        assert notebook.table("stream") == [
            ["line", "verdict", "event_id", "clock", "team_id", "number", "goal"],
            ["4", "invalid", *["NULL"] * 5],
            ["3", "shot", "2", "31:10", "205", "6", "0"],
            ["2", "shot", "1", "40:00", "205", "8", "1"],
            ["1", "shot", "0", "59:30", "101", "6", "1"],
        ]
        assert notebook.table("invalid-lines")[1:] == [["4", "4 fields instead of 5", "3 30:00 101 6"]]
        assert notebook.table("teams")[1] == [
            *("101", "syracuse", "acc", "11", "2", "67", "27"),
            """0 o'neil; DROP TABLE teams, 00 renée <b>|"x", 6 sam""",
        ]
        assert notebook.printed("boxscore") == (
            "Not final: the game is not over yet (syracuse 1 : 1 johns hopkins, 31:10, event 2)\n"
        )
        in_the_middle = notebook.plot()

        world.put(*ENDED)
        world.materialize(*LIVE)
        notebook.run_all_cells()
        assert notebook.table("invalid-lines")[1:] == []
        assert notebook.printed("boxscore") == "Final: syracuse 2 : 1 johns hopkins, 00:00, event 4\n"
        assert notebook.table("boxscore") == [
            ["team", "number", "name", "shots", "goals", "pct", "season_shots", "season_goals", "season_pct"],
            ["syracuse", "6", "sam", "1", "1", "1.0", "56", "23", "0.41"],
            ["syracuse", "0", "o'neil; DROP TABLE teams", "1", "1", "1.0", "10", "3", "0.3"],
            ["syracuse", "00", 'renée <b>|"x"', "0", "0", "0.0", "1", "1", "1.0"],
            ["johns hopkins", "8", "kim", "1", "1", "1.0", "40", "20", "0.5"],
            ["johns hopkins", "6", "sam", "1", "0", "0.0", "5", "5", "1.0"],
        ]
        assert notebook.ask("[(row.team_id, round(row.left, 2), row.score) for row in score.collect()]") == (
            "[(101, 59.5, 1), (205, 40.0, 1), (205, 31.17, 1), (101, 2.25, 2)]"
        )
        ended = notebook.plot()
        for colour in (HOME_COLOUR, AWAY_COLOUR):
            assert first_half(in_the_middle, colour) > 300
            assert second_half(in_the_middle, colour) == 0
            assert second_half(ended, colour) > 300

        server = urlsplit(world.environ["SPARK_REMOTE"])
        assert notebook.ask('spark.conf.get("spark.connect.grpc.binding.port")') == repr(str(server.port))
        for address in ("MONGODB_URI", "SIDEARMDB_URL", "AWS_SECRET_ACCESS_KEY"):
            assert world.environ[address] not in notebook.everything


def test_a_store_that_is_down_is_named_without_its_password(world: World, tmp_path: Path) -> None:
    address = f"127.0.0.1:{closed_port()}"
    environ = {**world.environ, "MONGODB_URI": f"mongodb://somebody:s3cr3t@{address}"}
    with opened(environ, tmp_path) as notebook:
        with pytest.raises(CellExecutionError, match=f"document store at {address}"):
            notebook.run_all_cells()
        assert "s3cr3t" not in notebook.everything


# The notebook of a game day


def test_before_the_first_game_day_it_reports_what_is_missing(world: World, tmp_path: Path) -> None:
    environ = {
        **world.environ,
        "GAMESTREAM_KEY": PREFIX,
        "SIDEARMDB_URL": f"sqlite:///{tmp_path / 'nothing.db'}",
    }
    with opened(environ, tmp_path, "gameday.ipynb") as notebook:
        notebook.run_all_cells()
        uri = f"s3://{environ['GAMESTREAM_BUCKET']}/{PREFIX}"
        assert notebook.printed("stores") == (
            f"No box score of a stream at {uri} yet: start the games, then run all cells again.\n"
        )
        assert notebook.printed("scoreboard") == "0 live, 0 final, 0 not started\n"
        assert notebook.printed("plot") == "No plays yet.\n"
        cells = ("scoreboard", "stream", "goals", "games2", "teams2")
        assert [len(notebook.table(cell)) for cell in cells] == [1] * len(cells)


def test_it_follows_a_game_day(day: Day, tmp_path: Path) -> None:
    world = day.world
    environ = {**world.environ, "GAMESTREAM_KEY": PREFIX}
    with opened(environ, tmp_path, "gameday.ipynb") as notebook:
        day.put(18, "0 58:00 205 8 0", "1 40:00 300 6 1", "2 00:00 0 0 0")
        day.put(17, *MIDDLE, "3 30:00 101 6")
        assert all(run.success for run in day.run_until_idle())
        notebook.run_all_cells()
        assert notebook.printed("stores") == (
            f"2 streams at s3://{environ['GAMESTREAM_BUCKET']}/{PREFIX}, 2 box scores. Game 17: {PREFIX}17.txt\n"
        )
        assert notebook.printed("scoreboard") == "1 live, 1 final, 1 not started\n"
        assert notebook.table("scoreboard") == [
            ["game_id", "day", "state", "clock", "home", "home_score", "away_score", "away"],
            ["17", DAY, "live", "31:10", "syracuse", "1", "1", "johns hopkins"],
            ["18", DAY, "final", "00:00", "johns hopkins", "0", "1", "saint étienne; <b>"],
        ]
        assert notebook.table("stream")[:3] == [
            ["line", "verdict", "reason", "event_id", "clock", "team_id", "number", "goal"],
            ["4", "invalid", "4 fields instead of 5", *["NULL"] * 5],
            ["3", "shot", "NULL", "2", "31:10", "205", "6", "0"],
        ]
        assert notebook.table("goals") == [["quarter", "goals"], ["1", "1"], ["2", "2"]]
        assert (
            notebook.ask("[(play.home, play.away) for play in of_the_game.itertuples()]") == "[(1, 0), (1, 1), (1, 1)]"
        )
        assert first_half(notebook.plot(), HOME_COLOUR) > 300
        assert [row[:6] for row in notebook.table("games2")[1:]] == [["18", DAY, "205", "300", "0", "1"]]
        assert notebook.table("teams2")[1:] == [
            ["300", "saint étienne; <b>", "2", "1", "1", "0"],
            ["101", "syracuse", "11", "2", "0", "0"],
            ["205", "johns hopkins", "9", "5", "0", "1"],
        ]

        for address in ("MONGODB_URI", "SIDEARMDB_URL", "AWS_SECRET_ACCESS_KEY"):
            assert world.environ[address] not in notebook.everything


@pytest.mark.parametrize(
    ("key", "opened_one", "right_one"),
    [("games/", "boxscore.ipynb", "gameday.ipynb"), ("gamestream.txt", "gameday.ipynb", "boxscore.ipynb")],
)
def test_the_notebook_of_the_other_kind_names_the_right_one(
    world: World, tmp_path: Path, key: str, opened_one: str, right_one: str
) -> None:
    with (
        opened({**world.environ, "GAMESTREAM_KEY": key}, tmp_path, opened_one) as notebook,
        pytest.raises(CellExecutionError, match=f"GAMESTREAM_KEY={key} is a .+: open {right_one} instead"),
    ):
        notebook.run_all_cells()
