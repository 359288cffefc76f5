"""A part of `make fuzz`, and that what reads a stream takes time and memory in proportion to its size."""

import random
import re
import tracemalloc
from time import process_time

import pytest
from click.testing import CliRunner
from pyspark.sql import SparkSession

from lacrosse_assets.game import statistics
from lacrosse_assets.game.stream import LINES, read_lines
from lacrosse_assets.game.timeline import fingerprints
from lacrosse_assets.resources.frames import arrow_table
from lacrosse_assets_tests import fuzz, fuzz_days
from lacrosse_assets_tests.support import reference_model
from lacrosse_assets_tests.support.builders import AWAY, HOME, VERSION

SMALL, TIMES = 100_000, 4
# Twice as much as in proportion: a quadratic part would make it sixteen times as much.
BOUND = 2 * TIMES


def test_hostile_streams_are_read_alike_by_both() -> None:
    result = CliRunner().invoke(fuzz.main, ["--lines", "30000"])
    assert result.exit_code == 0, result.output


def test_a_difference_is_found_and_can_be_found_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "read_lines", lambda *stream: list(read_lines(*stream))[1:])
    result = CliRunner().invoke(fuzz.main, ["--lines", "1000", "--seed", "3"])
    assert result.exit_code == 1
    assert "Error: stream 1 of seed 3 (" in result.output
    assert fuzz.stream(random.Random("3/0")) == next(fuzz.streams(3))


def test_random_game_days_are_those_of_the_reference_model(spark: SparkSession) -> None:
    result = CliRunner().invoke(fuzz_days.main, ["--days", "2"])
    assert result.exit_code == 0, result.output


def test_a_game_day_that_differs_is_found_and_can_be_found_again(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(statistics, "percentage", lambda goals, shots: 0.5)
    result = CliRunner().invoke(fuzz_days.main, ["--seed", "3"])
    assert result.exit_code == 1
    command = re.match(
        r"Error: python -m lacrosse_assets_tests.fuzz_days (--seed 3 --first \d+ --days 1): ", result.output
    )
    assert command
    assert CliRunner().invoke(fuzz_days.main, command[1].split()).output == result.output


def read(body: bytes) -> None:
    table = arrow_table(({**line._asdict(), **VERSION} for line in read_lines(body, HOME, AWAY)), LINES)
    fingerprints(table.to_pylist(), [])


def cost(body: bytes) -> float:
    """Seconds of the processor: the best of three."""
    costs = []
    for _ in range(3):
        start = process_time()
        read(body)
        costs.append(process_time() - start)
    return min(costs)


def peak(body: bytes) -> int:
    tracemalloc.start()
    try:
        read(body)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [*fuzz.FEW_EVENTS, *fuzz.MANY_EVENTS])
def test_four_times_the_stream_takes_four_times_as_much(kind: str) -> None:
    small, large = fuzz.flood(kind, SMALL), fuzz.flood(kind, TIMES * SMALL)
    assert reference_model.read_stream(small, HOME, AWAY)[1], "a flood has events"
    # What takes no time at all is taken for a hundredth of a second.
    assert cost(large) < BOUND * max(cost(small), 0.01)
    assert peak(large) < BOUND * max(peak(small), 100_000)
