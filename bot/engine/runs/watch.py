"""Watches the ring while a backend is out: sets back what gives it users again, and calls people when others fail.

A restarted director forgets; an emptied ring forgets everything; colleagues and health monitors act too. The safe
direction is the users': nothing is set back while no other backend can take them, and none that serves is flushed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from bot.core.decisions.guards import WHO_THEY_ARE, is_itself
from bot.core.decisions.upnext import missing_gates
from bot.core.hosts.fence import Fence
from bot.core.hosts.inventory import Host
from bot.core.plans.effects import Effect
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.runs.watching import (
    DOVECOT,
    EVERY,
    RING,
    Others,
    RingSeen,
    Unseen,
    all_at_zero,
    in_use,
    judge_ring,
    nobody_knows,
    only_mapped,
    put_back,
    to_make_again,
    unapproved,
)
from bot.engine.looks.beside import give_up
from bot.engine.looks.looking import OLD, OLDEST, Looking
from bot.engine.looks.observation import Observation
from bot.engine.looks.rebooting import booted_since
from bot.engine.ports import Ports
from bot.engine.runs.runlog import RunLog, fields
from bot.engine.runs.setting_back import SettingBack, TooLate, is_known, set_back_on
from bot.errors import NotRun

log = logging.getLogger(__name__)

_CALM = 10
"""So many times longer are the pauses once the run holds because of this: a person is asked, and not a loop fought.
For so many pauses the others have to be enough before that is reported.
"""

_LATE = timedelta(seconds=10)
"""How long a slow director is waited for, in a round that nobody waits for and that shows nothing else."""

_TRIES = 3
"""How often it is looked, soon after each other, until a director that gives users says which one it is."""


class Watch:
    """One run's. `deciding`: see Changing."""

    def __init__(
        self, ports: Ports, runlog: RunLog, looking: Looking, deciding: asyncio.Lock, wake: Callable[[], None]
    ) -> None:
        self._ports = ports
        self._runlog = runlog
        self._looking = looking
        self._deciding = deciding
        self._wake = wake
        self._setting_back = SettingBack(ports, runlog, looking)
        self._asking: asyncio.Task[None] | None = None
        self._rounds = 0
        self._others = Others()
        self._unseen = Unseen.before(runlog.run)
        self._unknown_since: datetime | None = None
        """Since when users are mapped, and nobody knows whether the backend serves."""

    @property
    def _run(self) -> Run:
        return self._runlog.run

    async def look_first(self) -> None:
        """Before the run goes on after the bot was away, see what came of the backend; users who wait come before."""
        if self._unseen.possible and self._run.status is not Status.TAKEN and not self._run.users_wait:
            await self._look(self.check_ring)

    async def keep(self) -> None:
        """Look again and again, for as long as the run lives; ends by being cancelled."""
        try:
            while True:
                often = _CALM if self._run.ring.deviates_too_often else 1
                await self._ports.clock.sleep(often * self._ports.timings.watch_every.total_seconds())
                await self._look(self._round)
        finally:
            if self._asking:
                await give_up(self._asking)

    async def _look(self, look: Callable[[], Awaitable[None]]) -> None:
        try:
            await look()
        except Exception:
            # The task's boundary: a watch that ended unseen would watch nothing.
            log.exception("a look at the ring went wrong; it goes on being watched", extra=fields(self._run))

    async def _round(self) -> None:
        if not self._run.enforced and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._looking.ask_those_away())  # in its own time
        if self._run.status is Status.TAKEN:
            await self._until_in_use()
            return
        await self.check_ring(late=_LATE)
        await self._look_for_a_boot()

    async def check_ring(self, late: timedelta | None = None) -> None:
        """Look once at what has to stay as it was made, set back what is not, and see that there are enough others.

        `late`: how long slow directors are waited for, where those that answer at once give no users.
        """
        tried = 0
        while (run := self._run).enforced:
            rounds = self._rounds
            observation = await self._seen(run, late)
            async with self._deciding:
                # Else it was set back meanwhile, or a command of this run's own was begun: it is looked at anew.
                if self._rounds != rounds or self._run.enforced != run.enforced:
                    continue
                tried += 1
                try:
                    flush_on = await self._judge(run, observation, last=tried == _TRIES)
                except TooLate:
                    continue
                finally:
                    self._rounds += 1
            if flush_on:
                await self._flush(run, flush_on)
            return

    async def _seen(self, run: Run, late: timedelta | None) -> Observation:
        """Enough to decide on: who gives users, which directors these are, and where need be whether it serves.

        One answer that is lost makes no director a stranger.
        """
        for tried in range(_TRIES):
            if tried:
                await self._ports.clock.sleep(self._ports.timings.look_again.total_seconds())
            asks, grace = [RING, WHO_THEY_ARE], None
            observation = await self._looking.look(asks)
            ring = judge_ring(run, observation.seen)
            if late and not ring.given_users and len(ring.heard) < len(run.target.ring.directors):
                grace = late
                observation = await self._looking.look(asks, grace)
                ring = judge_ring(run, observation.seen)
            if only_mapped(run, ring) or (self._unseen.possible and ring.given_users):
                observation = await self._looking.look([*asks, DOVECOT], grace)
                ring = judge_ring(run, observation.seen)
            if is_known(run, ring, observation):
                break
        return observation

    async def _judge(self, run: Run, observation: Observation, *, last: bool) -> Host | None:
        """Set back what has to be; the director on which its users are to be moved then. Raises TooLate, but `last`."""
        ring = judge_ring(run, observation.seen)
        now = self._ports.clock.now()
        self._others = self._others.seen(run, ring, now)
        if (counted := self._others.to_record(run, ring, now, _CALM * self._ports.timings.watch_every)) is not None:
            await self._runlog.record(counted)
            self._others = Others()
        if ring.reported_up and not run.ring.monitor_reported:
            host, reason = next(iter(ring.reported_up.items()))
            await self._runlog.record(fact.MonitorSaysUp(host=host, reason=reason))
        if ring.heard and not only_mapped(run, ring):
            self._unknown_since = None
        self._unseen = self._unseen.after(run, observation.part([RING]).seen, _serves(observation))
        if ring.given_users:
            return await self._deviated(run, ring, observation, last=last)
        await self._is_as_left(run, ring, observation)
        return None

    async def _is_as_left(self, run: Run, ring: RingSeen, observation: Observation) -> None:
        """It was given users, and is given none any more: a colleague took them away, or it is seen late."""
        if run.ring.given_users and run.ring.given_by <= ring.heard:
            (step, *_), ran, seen = run.ring.kept_up, observation.ran, observation.seen
            set_back = fact.RingSetBack(step=step.name, holds=True, reason=ring.answers, ran=ran, seen=seen)
            await self._runlog.record(set_back)

    async def _deviated(self, run: Run, ring: RingSeen, observation: Observation, *, last: bool) -> Host | None:
        """One restart undoes several changes at once: that is one deviation, and each change is made again."""
        if only_mapped(run, ring) and self._setting_back.still_moves(ring.users):
            return None
        serves = _serves(observation)
        steps = to_make_again(run, ring, serves)
        if steps or serves:
            self._unknown_since = None
        if not steps and serves:
            await self._is_as_left(run, ring, observation)
        if not steps and (serves or not self._long_unknown()):
            return None
        host, helpless = set_back_on(run, ring, observation)
        allowed = [step for step in steps if not missing_gates(run, step)]
        helpless = helpless or ("" if allowed else nobody_knows(run, ring) if not steps else unapproved(run, steps))
        helpless = helpless or (put_back(run) if self._unseen.found else "")
        if helpless and run.ring.helpless_reported:
            return None  # people were called, and are at it
        there, reason = run.target.host(host), "; ".join(ring.given_users.values())
        # Whether it serves is old sooner: users are kept away also where the director always takes some seconds.
        oldest = OLDEST if last or not any(Effect.FLUSH in step.does for step in allowed) else OLD
        nothing = NotRun("nothing is to be sent")
        fence = nothing if helpless else await self._setting_back.fence(there, observation, oldest, last=last)
        if self._run.enforced != run.enforced:
            return None  # since this was judged somebody has taken over
        sends, not_after = (len(allowed), fence.not_after) if isinstance(fence, Fence) else (0, 0)
        first, *_ = steps or to_make_again(run, ring, serves=False)
        deviated = fact.RingDeviated(
            step=first.name,
            host=host,
            reason=reason,
            helpless=helpless,
            sends=sends,
            not_after=not_after,
            given=tuple(ring.given_users),
        )
        await self._runlog.record(deviated)
        self._unseen = replace(self._unseen, called=True)
        if not helpless:
            for step in allowed:
                await self._setting_back.send(step, there, fence, ring.users)
        self._wake()
        flushed = helpless or any(Effect.FLUSH in step.does for step in steps)
        return there if Effect.FLUSH in run.enforced and not flushed else None

    def _long_unknown(self) -> bool:
        """Whether it was not known in the round before either: what passes by itself calls nobody."""
        now = self._ports.clock.now()
        self._unknown_since = self._unknown_since or now
        return now - self._unknown_since >= self._ports.timings.watch_every

    async def _flush(self, run: Run, there: Host) -> None:
        """Only the flush depends on whether it serves: that may take long to be said, and nobody is to come meanwhile.

        So the directors are looked at again together with it: what they said before is as old. The run's own changes do
        not wait for that.
        """
        for _ in range(_TRIES):
            rounds = self._rounds
            observation = await self._looking.look([RING, WHO_THEY_ARE, DOVECOT], to_act=True)
            async with self._deciding:
                if self._rounds != rounds or self._run.enforced != run.enforced:
                    return
                with suppress(TooLate):
                    await self._flushed(run, there, observation)
                    self._rounds += 1
                    return

    async def _flushed(self, run: Run, there: Host, observation: Observation) -> None:
        ring = judge_ring(run, observation.seen)
        if _serves(observation) is not False or not ring.usable_others:
            return
        if not is_itself(run, there.name, observation.seen):
            return
        for step in to_make_again(run, ring, serves=False):
            if Effect.FLUSH in step.does and not missing_gates(run, step):
                fence = await self._setting_back.fence(there, observation, OLD)
                await self._setting_back.send(step, there, fence, ring.users)

    async def _look_for_a_boot(self) -> None:
        """A backend that was booted while it is out: what the run believed of it is looked at again, and recorded."""
        run = self._run
        if not run.boot_id or run.status in {Status.BUSY, Status.DOUBT, Status.ENDED} or run.taken_by:
            return
        if (booted := await booted_since(run, self._ports.hosts, self._looking)) is not None:
            await self._runlog.record(booted, only_after=run.last_decisive)
            self._wake()

    async def _until_in_use(self) -> None:
        """Somebody has taken over: the ring is released when every director is seen to give the backend users again.

        Users that it never lost prove nothing: whoever took over may be about to take it out.
        """
        run = self._run
        # Directors that forget give users as well as a colleague does; but that one has seen to it that dovecot runs.
        observation = await self._looking.look([EVERY, DOVECOT], to_act=True)
        directors = observation.part([EVERY]).seen
        if not run.was_out:
            if all_at_zero(directors):
                out = fact.SeenOut(reason=judge_ring(run, directors).answers)
                await self._runlog.record(out, only_after=run.last_decisive)
        elif _serves(observation) is True and in_use(directors):
            reason = f"<@{run.taken_by}> took over, and every director gives the backend users again"
            ended = fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason=reason)
            await self._runlog.record(ended, only_after=run.last_decisive)
            self._wake()


def _serves(observation: Observation) -> bool | None:
    """Whether dovecot was seen to run; None where it was not read, or not looked at."""
    return observation.part([DOVECOT]).verdict.holds
