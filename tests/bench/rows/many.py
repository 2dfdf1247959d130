"""The rows of one process with many runs."""

from __future__ import annotations

from tests.bench.row import By, Mark, Measured, NotMeasured, Row, said, times


async def _not_yet(runs: int) -> Measured:
    raise NotMeasured(f"nothing measures it yet, in {runs} runs")


ROWS = (
    Row(
        name="start",
        what="start after kill -9 until the last of 100 open runs has acted",
        against="a start with none open",
        mark=times(most=1.5),
        runs=5,
        measure=_not_yet,
    ),
    Row(
        name="alarms",
        what="lateness of an alarm, 100 runs",
        against="",
        mark=Mark(by=By.VALUE, unit="s", most=1),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="draining-memory",
        what="memory of one process with 1,000 draining runs on as many rings (10 and 100 beside)",
        against="",
        mark=Mark(by=By.VALUE, unit="MB", most=200),
        runs=1,
        measure=_not_yet,
    ),
    Row(
        name="draining-cpu",
        what="its CPU without SSH",
        against="",
        mark=Mark(by=By.VALUE, unit="core", most=0.15),
        runs=1,
        measure=_not_yet,
    ),
    Row(
        name="draining-commands",
        what="commands a minute per director for one draining run",
        against="",
        mark=said("a minute"),
        runs=1,
        measure=_not_yet,
    ),
)
