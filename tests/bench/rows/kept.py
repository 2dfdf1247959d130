"""The rows of the command line and of the journal."""

from __future__ import annotations

from tests.bench.row import Measured, NotMeasured, Row, times


async def _not_yet(runs: int) -> Measured:
    raise NotMeasured(f"nothing measures it yet, in {runs} runs")


PLAIN = "the same rows in plain sqlite3, WAL, synchronous=FULL, same file system"

ROWS = (
    Row(
        name="runs",
        what="`dovecot-bot runs`, less the time of `--help`, with 4,000 past runs",
        against="with 10",
        mark=times(most=2),
        runs=7,
        measure=_not_yet,
    ),
    Row(
        name="list",
        what="`list` in Slack, in process, with 4,000 past runs",
        against="with 10",
        mark=times(most=2),
        runs=15,
        measure=_not_yet,
    ),
    Row(
        name="help",
        what="`dovecot-bot --help`",
        against="`python -c pass`",
        mark=times(most=12),
        runs=9,
        measure=_not_yet,
    ),
    Row(
        name="journal-facts",
        what="journal: facts committed per second, one fact a transaction",
        against=PLAIN,
        mark=times(least=0.5),
        runs=5,
        measure=_not_yet,
    ),
    Row(
        name="journal-bytes",
        what="journal: bytes per run",
        against=PLAIN,
        mark=times(most=1.5),
        runs=1,
        measure=_not_yet,
    ),
)
