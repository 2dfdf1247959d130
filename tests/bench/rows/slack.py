"""The rows of what people in Slack wait for."""

from __future__ import annotations

from tests.bench.row import Measured, NotMeasured, Row, said, times

SLACK_WAITS = "3 s, Slack's limit"


async def _not_yet(runs: int) -> Measured:
    raise NotMeasured(f"nothing measures it yet, in {runs} runs")


ROWS = (
    Row(
        name="ack-slash",
        what="acknowledging a slash command, p99, with 100 runs open and 4,000 past",
        against=SLACK_WAITS,
        mark=times(most=0.05),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="ack-click",
        what="acknowledging a click by somebody who may not (each writes a fact), p99 of 1,000, the same runs open",
        against=SLACK_WAITS,
        mark=times(most=0.05),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="reply",
        what="from a fact to its reply, Slack answering at once",
        against="",
        mark=said("s"),
        runs=3,
        measure=_not_yet,
    ),
    Row(
        name="posts",
        what="posts a minute, Slack answering at once",
        against="",
        mark=said("a minute"),
        runs=3,
        measure=_not_yet,
    ),
)
