"""What a run is: the state that its facts fold to, and what is read from that.

What may follow what is in transitions.py; how the facts make the state is in fold.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import takewhile
from typing import TYPE_CHECKING, assert_never

from bot.core.hosts.inventory import Target
from bot.core.plans.effects import Effect
from bot.core.plans.plan import Plan, PlannedApproval, PlannedChange, PlannedStage, PlannedStep, PlannedWait
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Grant, RunRequested
from bot.core.runs.metacache import MetacacheState
from bot.core.runs.ring_state import RingState
from bot.core.runs.transitions import Status


@dataclass(frozen=True, kw_only=True)
class Run:
    """The state of a run: nothing in it that is not in its facts.

    `position` counts the finished steps of the plan that is followed now (`plan`); `attempt` the times the step at
    hand was started. `touched` are the changes that were sent to hosts, or found done, in order, of the forward plan.
    """

    id: str
    seq: int
    request: RunRequested
    target: Target
    """That of the request, with its hosts reached as the settings said when the bot was last started."""
    began: datetime
    at: datetime
    plan: Plan
    status: Status = Status.READY
    last_decisive: int = 1
    """The last fact that counts for what is decided; those that only report something do not."""
    position: int = 0
    attempt: int = 0
    before_attempt: Run | None = field(default=None, repr=False)
    """It as it was before the attempt at hand was begun: what certainly never ran has changed nothing of it."""
    stage_begun: str | None = None
    stage_seq: int = 0
    failed: str | None = None
    held: int = 0
    held_at: Entry | None = None
    """The fact of `held`, where the run waits for people from then on."""
    since: datetime
    """When it came to be as it is."""
    in_channel: bool = False
    """Whether it has done more than look, or was about to: it has a thread from then on."""
    reason: str = ""
    until: datetime | None = None
    clocks: Mapping[str, int] = field(default_factory=dict)
    """By host: what its clock showed when the wait at hand began, in seconds since 1970."""
    asked: Entry | None = None
    repeated: int = 0
    answers: Mapping[int, Entry] = field(default_factory=dict)
    """By the fact that asked a gate's question: the one that closed it."""
    longer_waits: int = 0
    """How often somebody chose to wait longer before a gate."""
    skip: Entry | None = None
    grants: tuple[Grant, ...] = ()
    approvals: tuple[Entry, ...] = ()
    """All that were given, those that lapsed since, too."""
    lapsed: Grant | None = None
    """What was given and may not be acted on any more: it is asked for again at the change at hand."""
    judged_since: int = 0
    """The last fact since which an approval has to be judged again before it is acted on."""
    touched: tuple[PlannedChange, ...] = ()
    sent: frozenset[str] = frozenset()
    """The steps whose command was sent, or was about to be."""
    exited: int | None = None
    """How the command of the attempt at hand exited, where that was heard."""
    looks: Mapping[str, str] = field(default_factory=dict)
    read_at: Mapping[str, datetime] = field(default_factory=dict)
    """By step, and by kind for the hosts' proof: when that was seen, since the run last left its place in the plan."""
    seen_done: frozenset[str] = frozenset()
    observed: Mapping[str, str] = field(default_factory=dict)
    ring: RingState = field(default_factory=RingState)
    turning: bool = False
    start_first: bool = False
    must_hold: fact.RunHeld | None = None
    """Why the run has to hold at the next safe point, and where it goes on from."""
    back_asked_by: str | None = None
    back_approval: Entry | None = None
    """By what somebody asked to go back, where that approves the one command that gives vhosts."""
    proved: fact.HostsProved | None = None
    boot_id: str = ""
    not_after: Mapping[str, int] = field(default_factory=dict)
    """By host: until when the last command sent there may still begin, by its own clock."""
    metacache: MetacacheState = field(default_factory=MetacacheState)
    verified: Mapping[str, str] = field(default_factory=dict)
    """What the backend was when the approvals were asked for: see ApprovalAsked."""
    reconfigured: bool = False
    """Whether something was sent, after the flush approval, that installs packages or changes the configuration."""
    taken: Entry | None = None
    settings: fact.SettingsChanged | None = None
    outcome: fact.Outcome | None = None
    ended_by: str = ""

    @property
    def taken_by(self) -> str | None:
        """Who has taken over by hand."""
        taken = self.taken.fact if self.taken else None
        return taken.by if isinstance(taken, fact.TakenOver) else None

    @property
    def open_questions(self) -> tuple[Entry, ...]:
        """The facts whose messages have buttons that count now."""
        match self.status:
            case Status.HELD:
                found = (self.held_at, self.skip)
            case Status.ASKING:
                found = (self.asked, None)
            case Status.TAKEN:
                found = (self.taken, None)
            case Status.READY | Status.BUSY | Status.DOUBT | Status.WAITING | Status.ENDED:
                found = (None, None)
            case _:
                assert_never(self.status)
        return tuple(entry for entry in found if entry)

    @property
    def holds_anew(self) -> bool:
        """Whether it is to hold for another reason than the one posted, so that people have to know."""
        return self.must_hold is not None or self.ring.deviates_anew

    @property
    def has_to_hold(self) -> bool:
        """Whether it has to hold at the next safe point."""
        return self.must_hold is not None or self.ring.deviates_too_often

    @property
    def holds_now(self) -> bool:
        """Whether it holds before it does anything more: where users wait in the middle of a stage, that goes on."""
        return self.has_to_hold and not self.turning and (self.stands_safely or not self.users_wait)

    @property
    def turns_now(self) -> bool:
        """Whether it turns round before it does anything more."""
        return self.turning and self.stands_safely

    @property
    def waits_for_people(self) -> bool:
        """Whether it holds until somebody decides; a run that has only looked is refused by itself."""
        return self.status is Status.HELD and not (self.turning or self.only_looked or self.holds_anew)

    @property
    def step(self) -> PlannedStep | None:
        """The step at hand; None when the plan has no more."""
        steps = self.plan.steps
        return steps[self.position] if self.position < len(steps) else None

    @property
    def stage(self) -> PlannedStage | None:
        """The stage of the step at hand."""
        return self.plan.stage_of(self.step) if self.step else None

    @property
    def granted(self) -> frozenset[Gate]:
        """The gates that were opened in this run."""
        return frozenset(grant.gate for grant in self.grants)

    @property
    def not_by(self) -> tuple[str, ...]:
        """Who may not approve: the requester; on the way back whoever asked for that, and then the requester may.

        Four eyes are two persons. Where asking to go back is an approval itself, it is the requester there, too.
        """
        asked_back = self.back_asked_by if self.plan.back and not self._asking_approves else None
        return (asked_back or self.request.requester,)

    @property
    def approved_by_asking(self) -> bool:
        """Whether asking for the way back has approved it; not any more once it was held, or asked for again."""
        return self._asking_approves and self.back_approval is not None and self.judged_since < self.back_approval.seq

    @property
    def _asking_approves(self) -> bool:
        asked = self.back_approval.fact if self.back_approval and self.plan.back else None
        return isinstance(asked, fact.GoBackAsked) and asked.approves == self.plan.digest

    @property
    def enforced(self) -> frozenset[Effect]:
        """What this run made of the ring, and what has to stay so until the backend is given users again."""
        if self.taken_by:
            return frozenset()  # from here on a person may give them back by hand, and nobody is to fight that
        return self.ring.enforced

    @property
    def was_out(self) -> bool:
        """Whether the run had it out, and was not seen to have given it back, or it was seen out since a take-over."""
        taken = any(Effect.TAKES_VHOSTS in step.does for step in self.ring.kept_up) and self.ring.out_until is None
        gives = [at for at, step in enumerate(self.plan.steps) if Effect.RESTORE in step.does]
        unproved = bool(gives) and self.position > gives[-1]  # it held where it was to be seen back
        return bool(self.ring.enforced) or taken or unproved or self.ring.seen_out is not None

    @property
    def skipped(self) -> tuple[PlannedStep, ...]:
        """The steps of the plan that is followed which people agreed to leave out, in order."""
        before = self.plan.steps[: self.position]
        return tuple(step for step in before if step.name in self.looks and step.name not in self.seen_done)

    @property
    def made(self) -> tuple[PlannedChange, ...]:
        """The changes of the forward plan that were seen done, in order."""
        return tuple(step for step in self.touched if step.name in self.seen_done)

    def made_by(self, effect: Effect) -> PlannedChange | None:
        """The last change that was seen done and had this effect."""
        return next((step for step in reversed(self.made) if effect in step.does), None)

    @property
    def disturbed(self) -> bool:
        """Whether a change that users notice was made already, or dovecot may have been stopped by hand."""
        return any(Effect.STOP_DOVECOT in one.does for one in self.skipped) or any(one.disturbs for one in self.made)

    @property
    def may_have_disturbed(self) -> bool:
        """Whether a change that users notice was sent, or found done."""
        return any(step.disturbs for step in self.touched)

    @property
    def users_wait(self) -> bool:
        """Whether users wait for a dovecot that was stopped, or may have been, until they are moved or it starts."""
        before, waiting = self.plan.steps[: self.position], False
        passed = {step.name for step in (self.touched if self.plan.back else self.skipped)}
        passed |= {step.name.removeprefix("undo-") for step in self.plan.steps if self.plan.back}
        for step in (*self.request.plan.steps, *(before if self.plan.back else ())):
            done = step.does if step.name in self.seen_done else frozenset()
            sent = (step == self.step and self.attempt) or (step.name in passed and not done)
            waiting = waiting or Effect.STOP_DOVECOT in (step.does if sent else done)
            if done & {Effect.FLUSH, Effect.START_DOVECOT}:
                waiting = False
        return waiting

    @property
    def covering(self) -> PlannedApproval | None:
        """The approval that the step at hand stands behind."""
        before = self.plan.steps[: self.position]
        return next((step for step in reversed(before) if isinstance(step, PlannedApproval)), None)

    @property
    def covered(self) -> tuple[PlannedStep, ...]:
        """The steps that an approval lets run: behind its own, or, asked again, from that at hand on; to the next."""
        steps = self.plan.steps[self.position + isinstance(self.step, PlannedApproval) :]
        return tuple(takewhile(lambda step: not isinstance(step, PlannedApproval), steps))

    @property
    def grant(self) -> Grant | None:
        """The approval as it was given for the step at hand."""
        gate = self.covering.gate if self.covering else None
        return next((grant for grant in reversed(self.grants) if grant.gate is gate), None)

    @property
    def only_looked(self) -> bool:
        """Whether it still prepares, and made nothing that needs undoing: there is nothing to hold."""
        prepares = not self.plan.back and self.stage in self.plan.preparing
        return prepares and not any(step.undo or step.does for step in self.touched)

    @property
    def committed(self) -> bool:
        """Whether it is in the middle of a stage that waits for nobody: a change of that stage was begun."""
        stage, step = self.stage, self.step
        if stage is None or step is None or not stage.uninterrupted or self.stage_begun != stage.name:
            return False
        before = stage.steps[: [member.name for member in stage.steps].index(step.name)]
        waits = isinstance(step, PlannedApproval | PlannedWait if not self.may_have_disturbed else PlannedApproval)
        return not waits and (self.attempt > 0 or any(isinstance(member, PlannedChange) for member in before))

    @property
    def stands_safely(self) -> bool:
        """Whether the run may turn round, hold or rest here."""
        asks = self.lapsed is not None and not self.users_first
        return not self.committed or self.failed is not None or asks

    @property
    def users_first(self) -> bool:
        """Whether the step at hand moves users who wait, or starts dovecot as somebody asked: it waits for nothing."""
        does = self.step.does if self.step else frozenset()
        starts = does & {Effect.UNMASK, Effect.START_DOVECOT} and self.start_first and self.covering is None
        return self.users_wait and (bool(starts) or bool(does & {Effect.DOWN, Effect.FLUSH}))


if TYPE_CHECKING:
    from dataclasses import replace as replace  # noqa: PLC0414  by which names and types are checked
else:

    def replace(run, **changes):
        """The run with other values: as `dataclasses.replace`, which takes 50 times as long with so many fields."""
        new = object.__new__(Run)
        new.__dict__.update(run.__dict__, **changes)
        return new
