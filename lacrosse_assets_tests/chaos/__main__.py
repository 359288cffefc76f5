"""`make chaos`: the fault matrix, a line a trial, and the table in docs/chaos.md."""

import itertools
import os
import platform as machine
import random
import shlex
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import click
import psutil

from lacrosse_assets.embedded.supervision import stop_on_signals
from lacrosse_assets_tests import PROJECT_ROOT
from lacrosse_assets_tests.chaos.faults import FAULTS
from lacrosse_assets_tests.chaos.matrix import Attempt, play_at_once, unmet_requirement
from lacrosse_assets_tests.chaos.phases import Phase
from lacrosse_assets_tests.chaos.trial import Fault, Outcome

REPORT = PROJECT_ROOT / "docs" / "chaos.md"
PHASES = {phase.name.lower(): phase for phase in Phase}


@click.command()
@click.option("--fault", "names", multiple=True, help="Only faults whose name contains this; may be given repeatedly.")
@click.option("--without", multiple=True, help="No fault whose name contains this; may be given repeatedly.")
@click.option("--phase", "phases", multiple=True, type=click.Choice(list(PHASES)), help="Only these phases.")
@click.option("--times", default=1, show_default=True, help="Number of trials of each fault at each of its phases.")
@click.option("--jobs", default=1, show_default=True, help="Number of platforms at the same time; each needs a core.")
@click.option("--seed", type=int, help="The seed of an earlier run, to repeat it.  [default: a new one]")
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="File of the table.  [default: docs/chaos.md, if all trials were run]",
)
@click.option("--list", "only_list", is_flag=True, help="List the trials and exit.")
def main(
    names: tuple[str, ...],
    without: tuple[str, ...],
    phases: tuple[str, ...],
    times: int,
    jobs: int,
    seed: int | None,
    report: Path | None,
    only_list: bool,
) -> None:
    """Inject faults into games, and compare the results with docs/contract.md."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    chosen = [fault for fault in FAULTS if (not names or _is_called(fault, names)) and not _is_called(fault, without)]
    trials = [
        Attempt(fault, phase, number)
        for fault in chosen
        for phase in fault.phases
        if not phases or phase.name.lower() in phases
        for number in range(times * fault.weight)
    ]
    if not trials:
        raise click.ClickException(
            f"no fault has this name; the names are: {', '.join(sorted({fault.name for fault in FAULTS}))}"
        )
    if only_list:
        for fault, phase, number in trials:
            click.echo(f"{fault.name}, {phase.value}, {number + 1}")
        return
    for fault in chosen:
        if problem := unmet_requirement(fault.needs):
            raise click.ClickException(f"{fault.name}: {problem}; `--without {shlex.quote(fault.name)}` leaves it out")
    if report is None and not (names or without or phases):
        report = REPORT
    _say(f"{len(trials)} trials, seed {seed}")
    began = time.monotonic()
    outcomes: list[Outcome] = []
    with stop_on_signals():
        for _, group in itertools.groupby(trials, key=lambda trial: trial.fault.needs):
            for outcome in play_at_once(list(group), jobs, seed, _say):
                outcomes.append(outcome)
                _say(f"[{len(outcomes)}/{len(trials)}] {_line(outcome)}")
    minutes = (time.monotonic() - began) / 60
    lost = [outcome for outcome in outcomes if not outcome.survived]
    _say(f"{len(outcomes) - len(lost)} of {len(outcomes)} survived, in {minutes:.0f} minutes")
    if report:
        order = [(trial.fault.name, trial.phase) for trial in trials]
        outcomes.sort(key=lambda outcome: order.index((outcome.fault, outcome.phase)))
        report.write_text(_report(outcomes, seed, minutes))
        _say(f"The table is in {report}")
    sys.exit(1 if lost else 0)


def _is_called(fault: Fault, names: Sequence[str]) -> bool:
    return any(name.lower() in fault.name.lower() for name in names)


def _line(outcome: Outcome) -> str:
    seconds = "" if outcome.recovered_in is None else f", recovered in {outcome.recovered_in:.1f} s"
    runs = f", {outcome.runs} runs, {len(outcome.failures)} failed"
    words = "survived" if outcome.survived else "LOST: " + "; ".join(outcome.problems)
    errors = "".join(f"\n    {error[:200]}" for error in dict.fromkeys(outcome.failures))
    return f"{outcome.fault}, {outcome.phase.value}: {words}{seconds}{runs}{errors}"


def _report(outcomes: Sequence[Outcome], seed: int, minutes: float) -> str:
    memory = psutil.virtual_memory().total / 2**30
    command = " ".join(["python -m lacrosse_assets_tests.chaos", *map(shlex.quote, sys.argv[1:])])
    if not any(argument.startswith("--seed") for argument in sys.argv[1:]):
        command += f" --seed {seed}"
    tried, survived = len(outcomes), sum(outcome.survived for outcome in outcomes)
    lines = [
        "# The fault matrix",
        "",
        f"Written by `make chaos` on {datetime.now(UTC):%Y-%m-%d}: {survived} of {tried} trials survived, in "
        f"{minutes:.0f} minutes. {machine.system()} {machine.machine()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Python {machine.python_version()}. To repeat it: `{command}`.",
        "",
        "Each trial plays a game of ten events, or a game day of twenty games, on the embedded services, with",
        "`dagster dev` started as by `make dev`, and injects one fault. It is survived if in the end every event, or",
        "game, has its correct document and the final tables are correct, no reader has seen anything else during the",
        "trial, nobody intervened, and each failed run has an error that explains it. Seconds count from the repair",
        "(of a kill: from the kill) until the box scores, or the final tables, are those of the streams as they are",
        "then. docs/reliability.md says how to read the table.",
        "",
        "| fault | phase | tried | survived | seconds to recover: median | worst | failed runs |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for (fault, phase), group in _grouped(outcomes).items():
        seconds = [outcome.recovered_in for outcome in group if outcome.recovered_in is not None]
        spread = f"{median(seconds):.1f} | {max(seconds):.1f}" if seconds else "– | –"
        lines.append(
            f"| {fault} | {phase} | {len(group)} | {sum(outcome.survived for outcome in group)} | {spread} | "
            f"{sum(len(outcome.failures) for outcome in group)} |"
        )
    if lost := [outcome for outcome in outcomes if not outcome.survived]:
        lines += ["", "Not survived:", ""]
        lines += [f"- {outcome.fault}, {outcome.phase.value}: {'; '.join(outcome.problems)}" for outcome in lost]
    return "\n".join(lines) + "\n"


def _grouped(outcomes: Sequence[Outcome]) -> dict[tuple[str, str], list[Outcome]]:
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.fault, outcome.phase.value), []).append(outcome)
    return groups


def _say(line: str) -> None:
    click.echo(line)
    sys.stdout.flush()


if __name__ == "__main__":
    main()
