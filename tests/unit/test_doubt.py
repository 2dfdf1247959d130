"""A change in doubt: how long it is looked for, and when it is sent again; and a start when nothing can be written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from bot.core.hosts.command import Command
from bot.core.hosts.inventory import Host, Inventory
from bot.core.plans.plan import Expected, PlannedChange
from bot.core.plans.procedure import Where
from bot.core.readings.expect import Verdict
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.looks.observation import Observation
from bot.engine.ports import Ports, Timings
from bot.engine.recovery import recover
from bot.engine.runs.changing import Changing
from bot.engine.runs.runlog import RunLog
from bot.errors import JournalError
from tests.build import PROVED, Story, plan
from tests.fakes import FakeAlarms, FakeAnnouncer, FakeClock, FakeHosts, FakeJournal, FakePeople, FakeProposals

AT_ONCE = timedelta(seconds=3)


@dataclass
class NothingSeen:
    """A Looking that never sees it done, and takes all the time that it was given for that."""

    clock: FakeClock
    waited: list[timedelta] = field(default_factory=list)

    async def until_seen(
        self, _expectations: Sequence[Expected], within: timedelta, _steady: timedelta = timedelta(0)
    ) -> Observation:
        self.waited.append(within)
        self.clock.advance(within)
        return Observation(verdict=Verdict(holds=False, reason="it is not so"), looks=(), ran=())


FREE, HELD = 0, 94


def locks(state: int, now: int = 1_000) -> Callable[[Host, Command], str]:
    """Hosts whose clock says that, and whose locks are in that state."""
    return lambda _host, _command: f"{now}\n{state} {PROVED.lock}\n{state} /run/lock/lock\n"


def world(story: Story, journal: FakeJournal | None = None, *, lock: int = FREE) -> Ports:
    clock = FakeClock(story.at)
    return Ports(
        journal=journal or FakeJournal({story.run.id: list(story.entries)}, {"main": story.run.id}),
        hosts=FakeHosts(locks(lock)),
        announcer=FakeAnnouncer(),
        alarms=FakeAlarms(clock),
        clock=clock,
        people=FakePeople(),
        proposals=FakeProposals(),
        timings=Timings(),
    )


async def nothing() -> None:
    """No ring is watched."""


async def looked_up(
    step: str, *, attempts: int = 1, lock: int = FREE, not_after: int = 0
) -> tuple[list[timedelta], Run]:
    """How long that step is looked for the last time when it is in doubt so often, and the run afterwards."""
    story = Story().until(step)
    for attempt in range(1, attempts + 1):
        assert isinstance(story.run.step, PlannedChange)
        host = "backend-3" if story.run.step.where is Where.BACKEND else "director-1"
        started = fact.StepStarted(step=step, attempt=attempt, host=host, command="it", not_after=not_after)
        story.tell(started, fact.StepUnclear(step=step, reason="the connection was lost"))
        here = world(story, lock=lock)
        assert isinstance(here.clock, FakeClock)
        runlog, looking = RunLog(here, story.run), NothingSeen(here.clock)
        changing = Changing(here, runlog, looking, asyncio.Lock(), nothing)  # type: ignore[arg-type] # it sees nothing
        await changing.look_up(story.run.step)
        if attempt < attempts:
            story.tell(fact.StepNotDone(step=step, reason="it is not so"))
    return looking.waited, runlog.run


@pytest.mark.parametrize("step", ["set-vhosts-to-zero", "director-down", "flush-users", "director-up"])
async def test_what_is_asked_of_a_director_is_soon_asked_again(step: str) -> None:
    """Users of a stopped backend may be waiting for it, and it may be repeated."""
    waited, run = await looked_up(step)
    assert (waited, run.status) == ([AT_ONCE], Status.READY)


async def test_the_last_time_it_is_looked_for_as_long_as_it_may_take() -> None:
    """Nothing is sent any more; a flush that is under way would be called a failure."""
    waited, run = await looked_up("flush-users", attempts=3)
    assert (waited, run.status) == ([timedelta(seconds=90)], Status.HELD)


@pytest.mark.parametrize("step", ["remove-old-metacache-database", "clean-metacache"])
async def test_nothing_follows_a_deletion_that_may_still_be_running(step: str) -> None:
    """What follows starts dovecot, and a deletion on a dovecot that runs corrupts its indexes."""
    change = next(one for one in plan().steps if one.name == step)
    assert isinstance(change, PlannedChange)
    waited, run = await looked_up(step)
    assert waited[0] == change.action.command.timeout > change.action.within
    assert run.status is Status.READY


@pytest.mark.parametrize(("lock", "not_after"), [(HELD, 0), (FREE, 1_001)])
async def test_what_may_still_run_on_the_backend_is_never_called_not_done(lock: int, not_after: int) -> None:
    """It would be sent a second time beside the first: only the lock and the host's own clock say that it is over."""
    waited, run = await looked_up("clean-metacache", lock=lock, not_after=not_after)
    assert sum(waited, timedelta(0)) >= timedelta(minutes=30)
    assert run.status is Status.HELD
    assert "it may still run there" in run.reason


async def test_a_change_of_few_seconds_is_in_doubt_for_as_long_as_its_fence_may_let_it_begin() -> None:
    """A bot that was killed over it would else hold, and call people, a few seconds before all is clear."""
    story = Story().until("install-config")
    step = story.run.step
    assert step is not None
    assert isinstance(step, PlannedChange)
    hasty = replace(step.action, command=replace(step.action.command, timeout=AT_ONCE), within=AT_ONCE)
    not_after = 1_000 + int(Timings().not_after.total_seconds())
    started = fact.StepStarted(step=step.name, attempt=1, host="backend-3", command="it", not_after=not_after)
    story.tell(started, fact.StepUnclear(step=step.name, reason="the bot was killed"))
    here = world(story)
    began = here.clock.now()

    def clock_there(host: Host, command: Command) -> str:
        return locks(FREE, 1_000 + int((here.clock.now() - began).total_seconds()))(host, command)

    here = replace(here, hosts=FakeHosts(clock_there))
    assert isinstance(here.clock, FakeClock)
    runlog = RunLog(here, story.run)
    looking = NothingSeen(here.clock)
    changing = Changing(here, runlog, looking, asyncio.Lock(), nothing)  # type: ignore[arg-type] # it sees nothing
    await changing.look_up(replace(step, action=hasty))
    assert runlog.run.status is Status.READY


def test_only_the_deletions_refuse_while_dovecot_runs() -> None:
    guarded = [step.name for step in plan().changes if step.action.guarded]
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
        inventory = Inventory(rings=(story.run.target.ring,))

    assert await recover(here, Service()) == (story.run.id,)  # type: ignore[arg-type] # all that is asked of it
    assert [run.status for run in taken] == [Status.BUSY]
