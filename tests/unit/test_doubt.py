"""A change in doubt: how long it is looked for, and when it is sent again; and a start when nothing can be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from bot.core import events as fact
from bot.core.expect import Judgement
from bot.core.plan import Expected, is_guarded
from bot.core.run import Run, Status
from bot.engine.changing import Changing
from bot.engine.ledger import Ledger
from bot.engine.looking import Sight
from bot.engine.ports import Timings, World
from bot.engine.recovery import recover
from bot.errors import JournalError
from tests.build import Story, plan
from tests.fakes import FakeAlarms, FakeAnnouncer, FakeClock, FakeHosts, FakeJournal, FakePeople, FakeProposals

AT_ONCE = timedelta(seconds=3)


@dataclass
class NothingSeen:
    """A Looking that never sees it done, and notes how long it was to look."""

    waited: list[timedelta] = field(default_factory=list)

    async def until_seen(self, _expectations: Sequence[Expected], within: timedelta) -> Sight:
        self.waited.append(within)
        return Sight(judgement=Judgement(holds=False, reason="it is not so"), looks=(), ran=())


def world(story: Story, journal: FakeJournal | None = None) -> World:
    clock = FakeClock(story.at)
    return World(
        journal=journal or FakeJournal({story.run.id: list(story.entries)}, {"main": story.run.id}),
        hosts=FakeHosts(lambda _host, _command: None),
        announcer=FakeAnnouncer(),
        alarms=FakeAlarms(clock),
        clock=clock,
        people=FakePeople(),
        proposals=FakeProposals(),
        timings=Timings(),
    )


async def looked_up(step: str, *, attempts: int = 1) -> tuple[timedelta, Run]:
    """How long that step is looked for when it is in doubt so often, and the run afterwards."""
    story = Story().until(step)
    looking = NothingSeen()
    for attempt in range(1, attempts + 1):
        story.tell(fact.StepStarted(step=step, attempt=attempt, host="director-1", command="it"))
        story.tell(fact.StepUnclear(step=step, reason="the connection was lost"))
        ledger = Ledger(world(story), story.run)
        assert story.run.step is not None
        await Changing(world(story), ledger, looking).look_up(story.run.step)  # type: ignore[arg-type]
        if attempt < attempts:
            story.tell(fact.StepNotDone(step=step, reason="it is not so"))
    return looking.waited[-1], ledger.run


@pytest.mark.parametrize("step", ["set-vhosts-to-zero", "director-down", "flush-users", "director-up"])
async def test_what_is_asked_of_a_director_is_soon_asked_again(step: str) -> None:
    """Users of a stopped backend may be waiting for it, and it may be repeated."""
    waited, run = await looked_up(step)
    assert (waited, run.status) == (AT_ONCE, Status.READY)


async def test_the_last_time_it_is_looked_for_as_long_as_it_may_take() -> None:
    """Nothing is sent any more; a flush that is under way would be called a failure."""
    waited, run = await looked_up("flush-users", attempts=3)
    assert (waited, run.status) == (timedelta(seconds=90), Status.HELD)


@pytest.mark.parametrize("step", ["remove-old-metacache-database", "clean-metacache"])
async def test_nothing_follows_a_deletion_that_may_still_be_running(step: str) -> None:
    """What follows starts dovecot, and a deletion on a dovecot that runs corrupts its indexes."""
    change = next(one for one in plan().steps if one.name == step)
    assert change.action is not None
    waited, _ = await looked_up(step)
    assert waited == change.action.command.timeout > change.action.within


def test_only_the_deletions_refuse_while_dovecot_runs() -> None:
    guarded = [step.name for step in plan().steps if step.action and is_guarded(step.action.command.text)]
    assert guarded == ["remove-old-metacache-database", "clean-metacache"]


async def test_a_run_is_taken_up_though_its_doubt_cannot_be_written_down() -> None:
    """A full disk must not keep the bot from the runs that it has, nor the directors unwatched."""
    story = Story().until("stop-dovecot", on=Status.BUSY)
    here = world(story)
    assert isinstance(here.journal, FakeJournal)
    here.journal.fails = JournalError("the disk is full")
    taken: list[Run] = []

    class Service:
        take_up = staticmethod(taken.append)

    assert await recover(here, Service()) == (story.run.id,)  # type: ignore[arg-type]
    assert [run.status for run in taken] == [Status.BUSY]
