"""A run's runlog: facts go in one at a time, also when whoever tells them is cancelled in the middle of the write."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import datetime

import pytest

from bot.core.runs.events import Entry, Fact, RunHeld
from bot.engine.runs.runlog import RunLog
from bot.errors import JournalError
from tests.build import Story
from tests.fakes import (
    FakeJournal,
    fake_ports,
)


class SlowJournal(FakeJournal):
    """Its writes end when a test lets them; it remembers after which fact each one was to be."""

    def __init__(self, facts: dict[str, list[Entry]]) -> None:
        super().__init__(facts)
        self.begun: list[int] = []
        self.let = asyncio.Event()

    async def append(self, run: str, after: int, at: datetime, facts: Sequence[Fact]) -> tuple[Entry, ...]:
        self.begun.append(after)
        await self.let.wait()
        return await super().append(run, after, at, facts)


def runlog(journal: FakeJournal, story: Story) -> RunLog:
    return RunLog(fake_ports(journal), story.run)


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize("cancels", [1, 3])
async def test_a_write_whose_caller_is_cancelled_keeps_others_out_until_it_has_ended(cancels: int) -> None:
    """Or two facts get one number: the next one is made on a state that the first is about to change."""
    story = Story()
    journal = SlowJournal({story.run.id: list(story.entries)})
    kept = runlog(journal, story)
    first = asyncio.create_task(kept.record(RunHeld(reason="first")))
    await turns()
    second = asyncio.create_task(kept.record(RunHeld(reason="second")))
    for _ in range(cancels):
        first.cancel()
        await turns()
    assert journal.begun == [1], "the second write began beside the first"
    assert not first.done()
    journal.let.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second
    assert journal.begun == [1, 2]
    held = [entry.fact for entry in journal.facts[story.run.id][1:]]
    assert held == [RunHeld(reason="first"), RunHeld(reason="second")]
    assert kept.run.seq == 3


async def test_a_write_that_fails_after_its_caller_was_cancelled_changes_nothing() -> None:
    story = Story()
    journal = SlowJournal({story.run.id: list(story.entries)})
    kept = runlog(journal, story)
    first = asyncio.create_task(kept.record(RunHeld(reason="first")))
    await turns()
    first.cancel()
    journal.fails = JournalError("the disk is full")
    journal.let.set()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert kept.run.seq == 1
    assert await kept.record(RunHeld(reason="second"))
    assert kept.run.seq == 2
