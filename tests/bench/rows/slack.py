"""The rows of what people in Slack wait for."""

from __future__ import annotations

import asyncio
import math
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from bot.adapters.journal import SqlJournal
from bot.adapters.slack.app import web_client
from bot.adapters.slack.people import Allowed
from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.core.runs.events import ApprovalAsked, Entry
from bot.practice.scene import CHANNEL, GROUP, REQUESTER, SECOND, buttons
from bot.practice.slack.server import LocalSlack
from bot.practice.slack.workspace import Message
from bot.practice.values import machine_time
from bot.record.markdown import markdown
from tests.bench.crowd import bot, slack_of_a_company
from tests.bench.past import (
    SETTINGS,
    append,
    copied,
    folder,
    fsync_latency,
    of_ring,
    open_runs,
    opened,
    settings,
    whole_run,
)
from tests.bench.row import Measured, Row, number, reported, times
from tests.unit.messages import places, runs_after

SLACK_WAITS = 3.0
AGAINST = "3 s, Slack's limit"
OPEN, CLICKS, COMMANDS = 100, 1_000, 200
RUNS = 3
AT_ONCE = 10
_MINUTE = 60.0

# acknowledgements


@dataclass
class _Acknowledged:
    """Seconds, a list for each run; and how long a disk takes."""

    slash: list[list[float]] = field(default_factory=list)
    click: list[list[float]] = field(default_factory=list)
    fsync: float = 0.0


_ACKNOWLEDGED = _Acknowledged()


async def _acknowledged(runs: int) -> _Acknowledged:
    """Measured once, for both rows."""
    if _ACKNOWLEDGED.click:
        return _ACKNOWLEDGED
    with folder() as made:
        async with slack_of_a_company() as slack:
            await _asking(made, slack)
            async with bot(made, slack, 0) as started:
                await started.until("up")
                questions = await slack.until(lambda: _questions(slack))
                for _ in range(runs):
                    _ACKNOWLEDGED.slash.append(await _commands(slack))
                    _ACKNOWLEDGED.click.append(await _clicks(slack, questions))
        _ACKNOWLEDGED.fsync = fsync_latency(made)
    return _ACKNOWLEDGED


async def _asking(place: Path, slack: LocalSlack) -> None:
    """4,000 past runs, and open ones that wait for an approval."""
    (place / SETTINGS).write_text(settings(OPEN))
    journal = await copied(place / "journal.db")
    await open_runs(journal, OPEN, ApprovalAsked, slack)


def _questions(slack: LocalSlack) -> list[Message]:
    """Those of all runs, or none."""
    asked = [message for message in slack.messages if "approve" in buttons(message)]
    return asked if len(asked) == OPEN else []


async def _commands(slack: LocalSlack) -> list[float]:
    """Each is sent when the one before it was answered."""
    took = []
    for count in range(COMMANDS):
        before = len(slack.ephemerals)
        began = time.perf_counter()
        await slack.command(SECOND, CHANNEL, "/dovecot-upgrade", ("list", "status")[count % 2])
        took.append(time.perf_counter() - began)
        await slack.until(lambda before=before: len(slack.ephemerals) > before)  # type: ignore[misc]
    return took


async def _clicks(slack: LocalSlack, questions: list[Message]) -> list[float]:
    """Whoever asked for a run approves it, which does not count, and is written down."""
    took = []
    for count in range(CLICKS):
        began = time.perf_counter()
        await slack.click(REQUESTER, questions[count % OPEN], "approve")
        took.append(time.perf_counter() - began)
    return took


def _measured(took: list[list[float]], fsync: float, bound: str) -> Measured:
    middle = statistics.median(one for run in took for one in run)
    return Measured(
        ours=tuple(statistics.quantiles(run, n=100)[98] for run in took),
        theirs=(SLACK_WAITS,) * len(took),
        unit="s",
        bound=bound,
        beside=(f"The median is {number(middle)} s; an fsync of 4 KiB took {number(fsync * 1000)} ms there.",),
    )


async def _slash(runs: int) -> Measured:
    found = await _acknowledged(runs)
    bound = "Nothing but the way through the socket and Bolt: what was typed is done after it was acknowledged."
    return _measured(found.slash, found.fsync, bound)


async def _click(runs: int) -> Measured:
    found = await _acknowledged(runs)
    bound = (
        "The journal: a click is acknowledged once its fact is on the disk, which the runs' own facts and the notes of"
    )
    return _measured(found.click, found.fsync, f"{bound} their threads wait for as well.")


# replies


@asynccontextmanager
async def _threads(place: Path) -> AsyncIterator[tuple[LocalSlack, SqlJournal, SlackAnnouncer]]:
    """The part of the bot that writes threads, in this process, with Slack beside it."""
    async with (
        slack_of_a_company() as slack,
        opened(place / "journal.db") as journal,
        web_client(token="xoxb-practice", api_url=slack.api_url) as client,
    ):
        approvers = Allowed(usergroup=GROUP)
        threads = SlackAnnouncer(
            client=client,
            journal=journal,
            posts=journal.posts,
            approvers=approvers,
            record=markdown,
            now=machine_time,
        )
        try:
            yield slack, journal, threads
        finally:
            await threads.close()


async def _reply(runs: int) -> Measured:
    entries = await asyncio.to_thread(whole_run)
    states, told = runs_after(entries), {seq for seq, _ in places(entries)}
    middles, latest = [], 0.0
    with folder() as made:
        async with _threads(made) as (_, journal, threads):
            for number_of in range(runs):
                took = []
                for entry in entries:
                    run = f"r{number_of}"
                    await append(journal, run, [entry])
                    began = time.perf_counter()
                    threads.wake(run)
                    if entry.seq in told and entry.seq > 1 and states[entry.seq - 1].in_channel:
                        await threads.until_posted(run, entry.seq)
                        took.append(time.perf_counter() - began)
                middles.append(statistics.median(took))
                latest = max(latest, *took)
    return Measured(
        ours=tuple(middles),
        unit="s",
        bound="The journal is read for what is new, the reply is noted before and after Slack has it, and the cursor"
        " behind it: three commits, and one call.",
        beside=(
            f"The figure is the middle of a run's replies; the latest took {number(latest)} s.",
            "The last of a run waits for its root to be edited, which is done every two seconds at most.",
        ),
    )


async def _posts(runs: int) -> Measured:
    entries = await asyncio.to_thread(whole_run)
    rates = []
    for _ in range(runs):
        with folder() as made:
            async with _threads(made) as (slack, journal, threads):
                names = [f"r{number_of}" for number_of in range(AT_ONCE)]
                for ring, run in enumerate(names):
                    await journal.append(run, 0, entries[0].at, of_ring([entry.fact for entry in entries], ring))
                began = time.perf_counter()
                for run in names:
                    threads.wake(run)
                await asyncio.gather(*(threads.until_posted(run, len(entries)) for run in names))
                rates.append(len(slack.messages) * _MINUTE / (time.perf_counter() - began))
    return Measured(
        ours=tuple(rates),
        unit="a minute",
        bound=f"One process for the bot's threads of {AT_ONCE} runs and for the local Slack: each post is an HTTP call"
        " and three commits. Slack itself takes about one post a second per channel, far less.",
        beside=(_channels(entries),),
    )


def _channels(entries: Sequence[Entry]) -> str:
    """What Slack's own limit means for 100 runs."""
    dates = {entry.seq: entry.at for entry in entries}
    posts = sorted(dates[seq] for seq, _ in places(entries))
    busiest = max(sum(begin <= at < begin + timedelta(minutes=1) for at in posts) for begin in posts)
    needed = math.ceil(100 * busiest / _MINUTE)
    return (
        f"A whole run posts {len(posts)} replies, {busiest} of them in its busiest minute, with instant clicks. Where"
        f" 100 runs come to that minute together, at Slack's 60 a minute per channel they need {needed} channels for"
        f" none to be posted late; in one channel the last is posted {needed} minutes later. No user waits for that:"
        " only a stage that has not begun does, for ten seconds, and then its run holds."
    )


ROWS = (
    Row(
        name="ack-slash",
        what="acknowledging a slash command, p99, with 100 runs open and 4,000 past",
        against=AGAINST,
        mark=times(most=0.05),
        runs=RUNS,
        measure=_slash,
    ),
    Row(
        name="ack-click",
        what="acknowledging a click by somebody who may not (each writes a fact), p99 of 1,000, the same runs open",
        against=AGAINST,
        mark=times(most=0.05),
        runs=RUNS,
        measure=_click,
    ),
    Row(
        name="reply",
        what="from a fact to its reply, Slack answering at once",
        mark=reported("s"),
        runs=RUNS,
        measure=_reply,
    ),
    Row(
        name="posts",
        what="posts a minute, Slack answering at once",
        mark=reported("a minute"),
        runs=RUNS,
        measure=_posts,
    ),
)
