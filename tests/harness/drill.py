"""One run of the harness whose people say only what the test says: hold it anywhere, change the world, go on.

`async with a_run() as play` has the run just asked for. A wait ends in the loop's very turn in which a fact came, so
what the test does then is done before the bot's next call.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, ParamSpec

from bot.core.decisions.approval import Person
from bot.core.decisions.decide import (
    AgreeToSkip,
    Approve,
    GoBack,
    LeaveOut,
    Postpone,
    ProposeSkip,
    Retry,
    Steering,
    TakeOver,
    WaitLonger,
)
from bot.core.decisions.goback import going_back, way_back_shown
from bot.core.hosts.inventory import TakeDown
from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Where
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue, Request
from bot.engine.recovery import recover
from bot.engine.service import Service
from bot.practice.machine.files import Link
from bot.practice.ring.state import _Move
from bot.practice.scene import CHANNEL
from bot.practice.site import CONFIG, PACKAGES
from bot.practice.values import Program
from tests.build import REQUESTER, SECOND, THIRD
from tests.harness.crew import PEOPLE
from tests.harness.hooks import Hook, Hooks, failing, followed
from tests.harness.play import RUN, TIMINGS, now, reviewed
from tests.harness.told import Told
from tests.harness.virtual import run_virtual

P = ParamSpec("P")
A_WHILE = timedelta(seconds=20)
"""How long people think."""
ROUND = 30
"""Seconds between two looks of the watch."""
OPEN, LONG = timedelta(minutes=10), timedelta(minutes=11)
"""How long an approval is open here and valid, and longer than that."""
TEXT = f"backend-3 config={CONFIG} packages={PACKAGES}"
FOURTH = "U0DAVE"
OTHERS = ("backend-1", "backend-2")


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test in virtual time."""

    @functools.wraps(test)
    def plain(*args: P.args, **kwargs: P.kwargs) -> None:
        reviewed()
        run_virtual(test(*args, **kwargs))

    return plain


class Drill(Told):
    """`hooks` are put in before calls of ports."""

    points: Hooks

    def __init__(
        self, catalogue: Callable[[Catalogue], Catalogue] = lambda made: made, take_down: TakeDown = TakeDown.RUNBOOK
    ) -> None:
        timings = replace(TIMINGS, approval_open=OPEN, approval_repeats=(OPEN / 3,))
        super().__init__(Hooks(), timings=timings, take_down=take_down)
        self._catalogue = catalogue(self._catalogue)
        self._news = asyncio.Event()
        self.slack.on_wake = self._news.set
        self._services: list[Service] = []
        self.people = PEOPLE | {FOURTH: Person(id=FOURTH, may_ask=True, may_approve=True)}
        self.slack._known = self.people

    def start(self) -> Service:
        service = super().start()
        self._services.append(service)
        return service

    async def bury(self) -> None:
        """Nothing of it goes on."""
        for life in self._lives:
            life.bury()
        for service in self._services:
            await service.close(timedelta(0))

    # the run

    async def until(self, holds: Callable[[Run], object], within: timedelta = timedelta(hours=5)) -> Run:
        async with asyncio.timeout(within.total_seconds()):
            while True:
                run = self.reader.run
                if run is not None and holds(run):
                    return run
                self._news.clear()
                await self._news.wait()

    async def held(self) -> Run:
        """Wait until it holds for people."""
        run = await self.until(lambda run: run.status in {Status.HELD, Status.ENDED, Status.ASKING})
        assert run.status is Status.HELD, f"{run.status}: {run.reason} {run.asked}"
        return run

    async def held_in_the_end(self) -> Run:
        """Wait until it holds, even if what an approval showed is not so any more and it is asked for again first."""
        run = await self.until(lambda run: run.status in {Status.HELD, Status.ENDED, Status.ASKING})
        if run.status is Status.ASKING:
            await asyncio.sleep(A_WHILE.total_seconds())
        if self.run_now.status is Status.ASKING:
            await self.approve(after=timedelta(0))
        return await self.held()

    async def asks(self) -> Run:
        """Wait until it asks."""
        run = await self.until(lambda run: run.status in {Status.HELD, Status.ENDED, Status.ASKING})
        assert run.status is Status.ASKING, f"{run.status}: {run.reason}"
        return run

    async def reaches(self, step: str) -> Run:
        """Wait until that step is at hand; people approve what is asked on the way."""
        return await self._goes_well(lambda run: run.step is not None and run.step.name == step)

    async def ends(self) -> str:
        """Wait for its end, approving what is asked on the way; how it ended."""
        return str((await self._goes_well(lambda run: run.status is Status.ENDED)).outcome)

    async def _goes_well(self, there: Callable[[Run], bool]) -> Run:
        stands = {Status.HELD, Status.ENDED, Status.ASKING, Status.TAKEN}
        while True:
            run = await self.until(lambda run: there(run) or run.status in stands)
            if there(run):
                return run
            assert run.status is Status.ASKING, f"{run.status} at {run.step and run.step.name}: {run.reason}"
            await self.approve()

    # people

    async def say(self, command: Steering) -> None:
        assert self.service is not None
        await self.service.steer(RUN, command)

    async def approve(self, by: str = SECOND, after: timedelta = A_WHILE) -> None:
        """The open question, after a while; by somebody else where this one may not."""
        await asyncio.sleep(after.total_seconds())
        asked = self.run_now.asked
        assert asked is not None
        by = next(one for one in (by, *self.people) if one not in self.run_now.not_by and not self.people[one].barred)
        await self.say(Approve(person=self.people[by], ask=asked.seq, message="1.1"))

    async def approve_as(self, by: str) -> None:
        """The open question at once, whether this one may or not."""
        assert self.run_now.asked is not None
        await self.say(Approve(person=self.people[by], ask=self.run_now.asked.seq, message="1.1"))

    async def put_off(self, by: str = FOURTH) -> None:
        """Not now, to the open question."""
        assert self.run_now.asked is not None
        ask = self.run_now.asked.seq
        await self.say(Postpone(person=self.people[by], ask=ask, reason="at three, not now", message="1.1"))

    async def wait_longer(self, by: str = FOURTH) -> None:
        assert self.run_now.asked is not None
        await self.say(WaitLonger(person=self.people[by], ask=self.run_now.asked.seq, reason="", message="1.1"))

    async def retry(self, by: str = REQUESTER, after: timedelta = timedelta(0)) -> None:
        await asyncio.sleep(after.total_seconds())
        await self.say(Retry(person=self.people[by], held=self.run_now.held))

    async def go_back(self, by: str = THIRD, *, start_first: bool = False, shown: bool = False) -> None:
        held = self.run_now.held if self.run_now.status is Status.HELD else None
        seen = way_back_shown(going_back(self.run_now)) if shown else ""
        command = GoBack(person=self.people[by], reason="no more", answers=held, start_first=start_first, shown=seen)
        await self.say(command)

    async def take_over(self) -> None:
        await self.say(TakeOver(person=self.people[THIRD], reason="I know better"))

    async def leave_out(self) -> None:
        await self.say(LeaveOut(person=self.people[THIRD]))

    async def skip(self) -> None:
        """Proposed by one, agreed by another."""
        await self.say(ProposeSkip(person=self.people[THIRD], held=self.run_now.held, reason="seen by hand"))
        assert self.run_now.skip is not None
        await self.say(AgreeToSkip(person=self.people[SECOND], ask=self.run_now.skip.seq))

    def leaves_the_company(self, user: str) -> None:
        """Slack says that the account is deactivated."""
        self.people[user] = Person(id=user, may_ask=False, may_approve=False, barred="this account is deactivated")

    # the world

    def before(self, text: str, does: Callable[[], object], *, always: bool = False) -> Hook:
        hook = Hook(text=text, does=does, always=always)
        self.points.hooks.append(hook)
        return hook

    def others_out(self, *names: str) -> None:
        for name in names or OTHERS:
            self.ring.state.change(self.ring.backends[name].ip, now=now(), vhosts=0)
        self.watching.look()

    def others_back(self, *names: str) -> None:
        for name in names or OTHERS:
            self.ring.state.change(self.ring.backends[name].ip, now=now(), vhosts=100, up=True)
        self.watching.look()

    def colleague_gives(self, *, vhosts: int | None = 100, up: bool | None = True) -> None:
        """By hand, on a director, to the backend of the run."""
        self.ring.state.change(self.backend.ip, now=now(), vhosts=vhosts, up=up)
        self.watching.look()

    def moves_slowly(self, at_once: int = 100) -> None:
        """From here on a flush takes its time, as it does for many users: so many of them every two seconds."""
        state = self.ring.state

        def flush(ip: str, now: datetime) -> None:
            if any(move.away_from == ip for move in state._moves):
                return
            there = [user for user, mapping in state.mapped.items() if mapping.backend == ip]
            for number, user in enumerate(there):
                due = now + timedelta(seconds=2 * (number // at_once + 1))
                state._moves.append(_Move(due=due, user=user, away_from=ip))

        state.flush = flush  # type: ignore[method-assign]

    def nobody_logs_in(self) -> None:
        """From here on the ring is quiet: whoever leaves does not come back, and nobody new comes."""
        self._new_users = False
        self.ring.people._users.clear()

    def becomes_a_link(self, path: str) -> None:
        """What is there has moved to another disk, and a link leads to it."""
        disk = self.backend.disk
        tree = disk.remove(path)
        assert tree is not None
        disk.make_directory("/srv")
        assert disk.place("/srv/elsewhere", tree)
        assert disk.place(path, Link(target="/srv/elsewhere"))

    def dovecot_dies(self) -> None:
        self.backend.dovecot_unit.active, self.backend.dovecot_unit.sub = "failed", "failed"

    def reboots_now(self) -> None:
        self.reboots.append(now())
        self.backend.reboot()
        self.network.drop("backend-3", "the host has rebooted")

    def fails(self, step: str, times: int = 1) -> None:
        """The next so many commands of this step do nothing and fail."""
        left = [times]
        self._commands(step, lambda usual, args: failing(usual, args, left))

    def after(self, step: str, does: Callable[[], object]) -> None:
        """Something that is done right after the next command of this step has taken effect, before it answers."""
        left = [1]
        self._commands(step, lambda usual, args: followed(usual, args, left, does))

    def _commands(self, step: str, changed: Callable[[Program, tuple[str, ...]], Program]) -> None:
        """Put something in place of what the command of this step does, on every host that it may be sent to."""
        planned = self.step(step)
        assert isinstance(planned, PlannedChange)
        name, *args = planned.action.command.argv
        hosts = ["backend-3"] if planned.where is Where.BACKEND else list(self.ring.directors)
        for host in hosts:
            words = self.network.machines[host].programs
            words[name] = changed(words[name], tuple(args))

    def stop_bot(self) -> None:
        """It is gone at once, until `start_bot`."""
        self.life.over = True
        self.service = None

    async def start_bot(self) -> None:
        service = self.start()
        await recover(self.world, service)

    async def restart_bot(self, after: timedelta = timedelta(seconds=10)) -> None:
        self.stop_bot()
        await asyncio.sleep(after.total_seconds())
        await self.start_bot()


@asynccontextmanager
async def a_run(
    catalogue: Callable[[Catalogue], Catalogue] = lambda made: made,
    text: str = TEXT,
    take_down: TakeDown = TakeDown.RUNBOOK,
    spoil: Callable[[Drill], object] = lambda _play: None,
) -> AsyncIterator[Drill]:
    """A run on backend-3 that has just been asked for; `spoil` is done to the world before."""
    play = Drill(catalogue, take_down)
    spoil(play)
    request = Request(command="/dovecot-upgrade", text=text, requester=REQUESTER, team="T0", channel=CHANNEL)
    living: asyncio.Task[None] = asyncio.ensure_future(play._users_live())
    try:
        service = play.start()
        await service.request(request)
        yield play
    finally:
        living.cancel()
        await play.bury()
