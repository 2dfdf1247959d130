"""What a run is, and the one table of what may follow what.

The law first: a fact that the table does not know in a status is Illegal, and changes nothing. How the facts make the
state is in fold.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any

from bot.core import events as fact
from bot.core.events import Entry, RunRequested
from bot.core.laws import restores
from bot.core.plan import Action, Kind, Plan, PlannedStage, PlannedStep, digest
from bot.core.procedure import Gate


class Status(StrEnum):
    """Where a run stands."""

    READY = "ready"
    BUSY = "busy"
    DOUBT = "in doubt"
    WAITING = "waiting"
    ASKING = "asking"
    HELD = "held"
    ENDED = "ended"


_R, _B, _D, _W, _A, _H = (
    Status.READY,
    Status.BUSY,
    Status.DOUBT,
    Status.WAITING,
    Status.ASKING,
    Status.HELD,
)

EVERYWHERE = frozenset({fact.UsersCounted, fact.ApprovalRefused, fact.RingDeviated, fact.RingSetBack, fact.HostsProved})
"""Facts that tell something and move nothing; they may come until the run has ended."""

TRANSITIONS: Mapping[Status, Mapping[type[Any], Status]] = MappingProxyType(
    {
        _R: {
            fact.StageBegan: _R,
            fact.StepStarted: _B,
            fact.StepDone: _R,
            fact.StepFailed: _H,
            fact.WaitBegan: _W,
            fact.ApprovalAsked: _A,
            fact.ApprovalLapsed: _R,
            fact.RunHeld: _H,
            fact.GoBackAsked: _R,
            fact.TurnedBack: _R,
            fact.RunEnded: Status.ENDED,
        },
        _B: {
            fact.StepDone: _R,
            fact.StepUnclear: _D,
            fact.StepNotDone: _R,
            fact.StepFailed: _H,
            fact.GoBackAsked: _B,
        },
        _D: {
            fact.StepDone: _R,
            fact.StepNotDone: _R,
            fact.StepFailed: _H,
            fact.GoBackAsked: _D,
        },
        _W: {
            fact.StepDone: _R,
            fact.GoBackAsked: _R,
            fact.RunHeld: _H,
        },
        _A: {
            fact.Approved: _R,
            fact.Denied: _R,
            fact.ApprovalRepeated: _A,
            fact.ApprovalExpired: _H,
            fact.RunHeld: _H,
            fact.GoBackAsked: _R,
        },
        _H: {
            fact.TurnedBack: _R,
            fact.RunHeld: _H,
            fact.RetryChosen: _R,
            fact.SkipProposed: _H,
            fact.SkipAgreed: _R,
            fact.GoBackAsked: _R,
            fact.RunEnded: Status.ENDED,
        },
        Status.ENDED: {},
    }
)


@dataclass(frozen=True, kw_only=True)
class Grant:
    """An approval that was given, for a digest, until a date."""

    gate: Gate
    by: str
    digest: str
    expires: datetime


@dataclass(frozen=True, kw_only=True)
class Run:
    """The state of a run: nothing in it that is not in its facts.

    `position` counts the finished steps of the plan that is followed now (`plan`); `attempt` the times the step at
    hand was started. `touched` are the changes that were sent to hosts, or found done, in order, of the forward plan.
    """

    id: str
    seq: int
    request: RunRequested
    began: datetime
    at: datetime
    plan: Plan
    status: Status = Status.READY
    position: int = 0
    attempt: int = 0
    stage_begun: str | None = None
    stage_seq: int = 0
    failed: str | None = None
    held: int = 0
    reason: str = ""
    until: datetime | None = None
    asked: Entry | None = None
    repeated: int = 0
    skip: Entry | None = None
    grants: tuple[Grant, ...] = ()
    unconfirmed: Grant | None = None
    touched: tuple[PlannedStep, ...] = ()
    looks: Mapping[str, str] = field(default_factory=dict)
    seen_done: frozenset[str] = frozenset()
    observed: Mapping[str, str] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)
    turning: bool = False
    deviations: int = 0
    deviations_told: int = 0
    """How many of them there were when people were last called; they are called anew when there are too many."""
    back_asked_by: str | None = None
    outcome: fact.Outcome | None = None

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
        """Who may not approve: the requester, and whoever asked to go back."""
        people = (self.request.requester, self.back_asked_by)
        return tuple(dict.fromkeys(person for person in people if person))

    @property
    def kept(self) -> tuple[PlannedStep, ...]:
        """The changes of the ring that have to stay as they were made until the backend is given users again."""
        begun = self.plan.steps[: self.position + 1]
        if Gate.RESTORE in self.granted and any(step.action and restores(step.action.command.text) for step in begun):
            return ()  # from here on a person may give them back by hand, and nobody is to fight that
        made = (step for step in self.touched if step.name in self.seen_done)
        return tuple(step for step in made if step.action and _is_of_the_ring(step.action))

    @property
    def only_looked(self) -> bool:
        """Whether it is still in its first stage and made nothing that needs undoing: there is nothing to hold."""
        return not self.plan.back and self.stage == self.plan.stages[0] and not any(step.undo for step in self.touched)

    @property
    def committed(self) -> bool:
        """Whether it is in the middle of a stage that waits for nobody: a change of that stage was begun."""
        stage, step = self.stage, self.step
        if stage is None or step is None or not stage.uninterrupted or self.stage_begun != stage.name:
            return False
        before = stage.steps[: [member.name for member in stage.steps].index(step.name)]
        return self.attempt > 0 or any(member.kind is Kind.CHANGE for member in before)

    @property
    def stands_safely(self) -> bool:
        """Whether the run may turn round, hold or rest here."""
        return not self.committed or self.failed is not None

    def digest_for(self, step: PlannedStep) -> str:
        """What an approval at this step is for: plan, target, configuration and what was observed, as one digest."""
        return digest(
            {
                "run": self.id,
                "gate": step.gate,
                "plan": self.plan.digest,
                "target": self.request.target.model_dump(mode="json"),
                "evidence": self.evidence_for(step),
                "observed": dict(self.observed),
            }
        )

    def evidence_for(self, step: PlannedStep) -> tuple[str, ...]:
        """What the checks named as evidence read."""
        return tuple(self.looks[name] for name in step.evidence if name in self.looks)


def _is_of_the_ring(action: Action) -> bool:
    return all(expected.probe == "director-hosts" for expected in action.done_when)
