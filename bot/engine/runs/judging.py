"""Judges one change right before it is made: is it done already, may it be made now, on which host?

It records nothing of its own: what comes back is what is needed to send it, or the fact that it makes.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from bot.core.decisions.guards import NOBODY_IS_MAPPED, WHO_THEY_ARE, guards_now, unflushed
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import not_proved_to_be
from bot.core.hosts.inventory import Host
from bot.core.plans.effects import Effect
from bot.core.plans.plan import Action, Expected, PlannedChange
from bot.core.plans.procedure import Where
from bot.core.runs import events as fact
from bot.core.runs.events import Fact
from bot.core.runs.metacache import flush_seen
from bot.core.runs.run import Run
from bot.core.text.redact import redact
from bot.engine.looks.looking import OLD, OLDEST, Looking
from bot.engine.looks.observation import Observation
from bot.engine.looks.rebooting import after_boot
from bot.engine.looks.sending import Early, Sending
from bot.engine.ports import Ports
from bot.engine.runs.lapses import lapse, moved_again
from bot.engine.runs.readying import Readying
from bot.engine.runs.runlog import RunLog
from bot.errors import HostError, NotRun, Refused, StillRuns

_LOOKS = 3
"""How often it is looked anew in any case, where a host says no more right before its change."""

_FLUSH_ASKED = timedelta(seconds=10)
"""How long it is asked what a stop left of the flush, where the backend is away: users wait to be moved meanwhile."""


@dataclass(frozen=True, kw_only=True)
class _Try:
    """One look and its fence. `connection`: the one on which the backend said who it is, if it is sent there.

    `oldest`: how old the look may be when it is fenced.
    """

    early: Early
    give_up: datetime
    oldest: timedelta
    connection: str = ""


class _LookAnew(Exception):
    """What was seen is not what is so now, or not known to be; the text says why, for people."""


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A change that was judged, with all that it needs to be sent."""

    host: Host
    fence: Fence
    before: Observation
    guarded: tuple[fact.Seen, ...]
    material: bytes
    boot_id: str = ""


class Judging:
    """Judges the changes of one run.

    `set_ring_back`: has the watch look at once, for what a ring forgot that is not as a change needs it.
    """

    def __init__(
        self,
        ports: Ports,
        runlog: RunLog,
        looking: Looking,
        sending: Sending,
        set_ring_back: Callable[[], Awaitable[None]],
    ) -> None:
        self._ports = ports
        self._runlog = runlog
        self._looking = looking
        self._readying = Readying(ports, runlog, looking, sending)
        self._set_ring_back = set_ring_back

    @property
    def _run(self) -> Run:
        return self._runlog.run

    async def judged(self, step: PlannedChange, decided: Run) -> Ready | Fact:
        """What is needed to send it; or the fact that it makes instead: done already, not to be begun, or booted.

        `decided`: the run as it was when this was decided; the fact is to be written only while it still is.
        """
        try:
            return await self._ready(step, step.action, decided)
        except (HostError, Refused) as error:
            return _not_begun(step, str(error), None)

    async def _ready(self, step: PlannedChange, action: Action, decided: Run) -> Ready | Fact:
        """Look, judge and fence; anew where its host is silent, or another connection, by the time it is fenced."""
        clock = self._ports.clock
        give_up = clock.now() + self._ports.timings.patience_with(decided)
        looked = 0
        while True:
            looked += 1
            boot_id, connection = "", ""
            if step.where is Where.BACKEND:
                backend = decided.target.backend
                identity = await self._readying.identity(backend, give_up)
                boot_id, connection = identity.boot_id, identity.connection
                if against := not_proved_to_be(backend, identity):
                    return _not_begun(step, against, None)
                if decided.boot_id not in {"", boot_id}:
                    return await after_boot(decided, boot_id, self._looking)
            if isinstance(found := await self._settled(step, action, decided), fact.StepDone):
                return found
            early = self._readying.asks_early(self._readying.meant(step))
            oldest = OLD if looked < _LOOKS else OLDEST
            this = _Try(early=early, give_up=give_up, oldest=oldest, connection=connection)
            try:
                ready = await self._looked_and_fenced(step, action, decided, this)
            except _LookAnew as why:
                if (looked >= _LOOKS and clock.now() >= give_up) or self._run.last_decisive != decided.last_decisive:
                    raise NotRun(str(why)) from why
                await clock.sleep(self._ports.timings.look_again.total_seconds())
                continue
            finally:
                await early.close()
            return replace(ready, boot_id=boot_id) if isinstance(ready, Ready) else ready

    async def _settled(self, step: PlannedChange, action: Action, decided: Run) -> fact.StepDone | None:
        """Nothing of before can come any more: before the look, as it may take its time. Or it is done already."""
        if not self._readying.unsettled(action):
            return None
        guards = _guards(decided)
        observation = await self._looking.look((*action.done_when, *guards), to_act=True)
        if (found := await self._found(step, action, guards, observation)) is not None:
            return found
        await self._readying.settled()
        return None

    async def _looked_and_fenced(self, step: PlannedChange, action: Action, decided: Run, this: _Try) -> Ready | Fact:
        """Raises _LookAnew where it has to be."""
        before = await self._looked(step, action, decided, this.give_up)
        if not isinstance(before, Observation):
            return before
        host = self._readying.host(step, before)
        if host is None:
            why = (
                "no director proves to be the one that it was when this run began; nothing was sent. What to do: see"
                " where the directors' `ssh` names lead now, then click Retry"
            )
            unread = any(one.reading is None for one in before.part((WHO_THEY_ARE,)).seen)
            raise _LookAnew(why) if unread else NotRun(why)
        over = before.connections.get(host.name, "")
        if not over or (this.connection and over != this.connection):
            # who is there now has to be asked first
            raise _LookAnew(
                f"{host.name}: its connection was lost between the look and the change, again and again; nothing was"
                " sent. What to do: see that its SSH connections last, then click Retry"
            )
        material = await self._readying.material(action)
        looked = self._ports.clock.now()
        try:
            fence = await self._readying.fence(host, over, action, this.early)
        except StillRuns:
            raise
        except NotRun as silent:
            self._looking.passes_over(host)
            raise _LookAnew(str(silent)) from silent
        if fence is None or self._ports.clock.now() - looked >= this.oldest:
            raise _LookAnew(
                f"{host.name} takes more than {this.oldest.total_seconds():g} s to answer right before a change, and"
                " what was seen is old by then; nothing was sent. What to do: see why it is slow, then click Retry"
            )
        guarded = before.part([*_guards(decided), *flush_seen(decided.target)]).seen
        return Ready(host=host, fence=fence, before=before, guarded=guarded, material=material)

    async def _looked(self, step: PlannedChange, action: Action, decided: Run, give_up: datetime) -> Observation | Fact:
        """One look at whether it is done, and at all that must be so for it; the fact where it is not to be sent."""
        guards = _guards(decided)
        observation = await self._as_needed(step, action, guards, decided, give_up)
        if (found := await self._found(step, action, guards, observation)) is not None:
            return found
        done = observation.part(action.done_when)
        if done.verdict.holds is None and action.done_when:
            reason = f"it cannot be seen whether it is done: {done.verdict.reason}"
        elif against := unflushed(decided, observation.seen):
            reason = against
        elif lapsed := lapse(step, decided, observation):
            return lapsed
        elif _users_are_back(observation, guards) and (again := moved_again(step, decided, observation)):
            return again
        elif not _holds(observation, guards):
            reason = f"this must be so right now, and is not: {observation.part(guards).verdict.reason}"
        else:
            return observation
        return _not_begun(step, reason, observation)

    async def _found(
        self, step: PlannedChange, action: Action, guards: tuple[Expected, ...], observation: Observation
    ) -> fact.StepDone | None:
        """The fact that it is done already, where it is."""
        done = observation.part(action.done_when)
        if done.verdict.holds and action.steady:
            done = await self._looking.until_seen(action.done_when, timedelta(0), action.steady)
        # Users come to what was verified alone, also where somebody else has given them.
        if done.verdict.holds and (Effect.RESTORE not in step.does or _holds(observation, guards)):
            return await self.done(step, fact.How.FOUND, done, ())
        return None

    async def _as_needed(
        self, step: PlannedChange, action: Action, guards: tuple[Expected, ...], decided: Run, give_up: datetime
    ) -> Observation:
        """The look that decides: what is not as it has to be is set back in the ring, or passes; else the last one."""
        flush = flush_seen(decided.target) if Effect.STOP_DOVECOT in action.does else ()

        def decides(observation: Observation) -> bool:
            if self._run.last_decisive != decided.last_decisive:
                return True  # a person did something: nothing of this is written; what is next is asked again
            done = observation.part(action.done_when).verdict.holds if action.done_when else False
            if done is True and Effect.RESTORE not in step.does:
                return True
            return done is not None and (_holds(observation, (*guards, *flush)) or _users_are_back(observation, guards))

        who = (WHO_THEY_ARE,) if step.where is not Where.BACKEND else ()
        expectations = (*action.done_when, *guards, *flush, *who)
        observation = await self._looking.look(expectations, to_act=True)
        if decides(observation):
            return observation
        await self._set_ring_back()
        timings, clock = self._ports.timings, self._ports.clock
        passed = clock.now() + timings.patience

        def enough(observation: Observation) -> bool:
            known = observation.verdict.holds is not None
            return decides(observation) or (known and clock.now() >= passed)

        patience = max(give_up - clock.now(), timings.patience)
        return await self._looking.until(enough, expectations, patience, to_act=True)

    async def done(
        self, step: PlannedChange, how: fact.How, observation: Observation, commands: Sequence[fact.Ran]
    ) -> fact.StepDone:
        """The fact that it was seen done; after a stop of dovecot, with what that left of its metacache's flush."""
        flush = await self._flush(step)
        return fact.StepDone(
            step=step.name,
            how=how,
            ran=(*commands, *observation.ran, *(flush.ran if flush else ())),
            seen=(*observation.seen, *(flush.seen if flush else ())),
            reason=observation.verdict.reason,
        )

    async def _flush(self, step: PlannedChange) -> Observation | None:
        """What the stop of dovecot left of its metacache's flush; read before anything else can touch it.

        One answer that is lost would keep the run from ever deleting.
        """
        wanted = flush_seen(self._run.target)
        if Effect.STOP_DOVECOT not in step.does or not wanted:
            return None
        clock = self._ports.clock
        give_up = clock.now() + _FLUSH_ASKED

        def enough(observation: Observation) -> bool:
            return _holds(observation, wanted) or clock.now() >= give_up

        return await self._looking.until(enough, wanted, _FLUSH_ASKED)


def _not_begun(step: PlannedChange, reason: str, observation: Observation | None) -> fact.StepFailed:
    return fact.StepFailed(
        step=step.name,
        reason=f"not begun: {redact(reason)}",
        ran=observation.ran if observation else (),
        seen=observation.seen if observation else (),
    )


def _users_are_back(observation: Observation, guards: tuple[Expected, ...]) -> bool:
    """Whether all that must be so is so, but for users who were moved and are mapped again."""
    others = tuple(one for one in guards if one != NOBODY_IS_MAPPED)
    back = NOBODY_IS_MAPPED in guards and observation.part((NOBODY_IS_MAPPED,)).verdict.holds is False
    return back and _holds(observation, others)


def _guards(run: Run) -> tuple[Expected, ...]:
    return tuple(expected for guard in guards_now(run) for expected in guard.expects)


def _holds(observation: Observation, guards: tuple[Expected, ...]) -> bool:
    return not guards or observation.part(guards).verdict.holds is True
