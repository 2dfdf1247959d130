"""The row of real SSH connections."""

from __future__ import annotations

from tests.bench.row import Measured, NotMeasured, Row, said


async def _not_yet(runs: int) -> Measured:
    raise NotMeasured(f"nothing measures it yet, in {runs} runs")


ROWS = (
    Row(
        name="ssh-memory",
        what="memory per host of real SSH connections at 100 hosts (10 and 50, CPU and descriptors beside)",
        against="",
        mark=said("MB"),
        runs=1,
        measure=_not_yet,
    ),
)
