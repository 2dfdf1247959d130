"""A plan: literal commands, what proves them, and a digest of it all. fill.py makes it.

A plan is what people approve, so it holds everything that decides what happens on a host. The one thing that it
leaves open is what will have been observed (`{observed.…}`): see observed.py.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from itertools import takewhile
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, TypeAdapter, WrapSerializer

from bot.core.hosts.command import OUTPUT_KEPT, Command
from bot.core.plans.effects import Effect, disturbs, effects, is_guarded, sets_owners
from bot.core.plans.procedure import Gate, Where

Value = str | int | bool | list[str | int | bool] | dict[str, str | int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """One probe, where it looks, and what its reading has to say; `asks` are the probe's own keys, filled in."""

    probe: str
    where: Where
    asks: Mapping[str, Value]


@dataclass(frozen=True, kw_only=True, slots=True)
class Action:
    """A command that alters a host, and what shows that it is done: within how long, steady for how long.

    Without `done_when`, its exit status is all that shows it.
    """

    command: Command
    done_when: tuple[Expected, ...]
    within: timedelta
    within_per_100_users: timedelta = timedelta(0)
    steady: timedelta = timedelta(0)

    @property
    def does(self) -> frozenset[Effect]:
        """What its command does to mail, read from the literal text: nothing that a procedure says of it counts."""
        return effects(self.command.text)

    @property
    def guarded(self) -> bool:
        """Whether its host refuses it while the service runs there."""
        return is_guarded(self.command.text)

    @property
    def sets_owners(self) -> bool:
        """Whether it gives what it unpacks the owners that the archive names."""
        return sets_owners(self.command.text)

    def patience(self, users: int) -> timedelta:
        """How long it may take to be seen, where so many users are moved by it."""
        return self.within + math.ceil(users / 100) * self.within_per_100_users


@dataclass(frozen=True, kw_only=True, slots=True)
class Hoped:
    """What a check looks for once it holds, and how long at most; the check holds with or without it."""

    expect: tuple[Expected, ...]
    within: timedelta


@dataclass(frozen=True, kw_only=True, slots=True)
class _Planned:
    """What every step says of itself."""

    name: str
    says: str
    because: str
    runbook: int | None = None

    @property
    def actions(self) -> tuple[Action, ...]:
        """What it does, and what undoes that; nothing where it is no change."""
        return ()

    @property
    def looks(self) -> tuple[Expected, ...]:
        """All that it looks at, but for what the laws ask for."""
        return ()

    @property
    def does(self) -> frozenset[Effect]:
        """What its command does to mail; nothing where it is no change."""
        return frozenset()

    @property
    def disturbs(self) -> bool:
        """Whether users or their mail notice it; those who are moved from a backend that serves do not."""
        return any(disturbs(action.command.text) for action in self.actions[:1])


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedCheck(_Planned):
    """Reads and judges."""

    kind: Literal["check"] = "check"
    expect: tuple[Expected, ...]
    within: timedelta = timedelta(0)
    hopes: Hoped | None = None
    remember: Mapping[str, str] = field(default_factory=dict)
    attach: bool = False

    @property
    def looks(self) -> tuple[Expected, ...]:
        """What must be so, and what is hoped for."""
        return (*self.expect, *(self.hopes.expect if self.hopes else ()))


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedChange(_Planned):
    """Alters a host, and is undone or says why not."""

    kind: Literal["change"] = "change"
    where: Where
    action: Action
    only_if: tuple[Expected, ...] = ()
    undo: Action | None = None
    no_undo_because: str | None = None
    repeatable: bool = True

    @property
    def actions(self) -> tuple[Action, ...]:
        """What it does, and what undoes that."""
        return (self.action, self.undo) if self.undo else (self.action,)

    @property
    def looks(self) -> tuple[Expected, ...]:
        """What must be so before it, and what shows that it is done, or undone."""
        return (*self.only_if, *(one for action in self.actions for one in action.done_when))

    @property
    def does(self) -> frozenset[Effect]:
        """What its command does to mail."""
        return self.action.does


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedWait(_Planned):
    """Lets time pass, and counts users meanwhile."""

    kind: Literal["wait"] = "wait"
    length: timedelta
    watch: Expected | None = None

    @property
    def looks(self) -> tuple[Expected, ...]:
        """What is counted."""
        return (self.watch,) if self.watch else ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedApproval(_Planned):
    """Asks for a gate: open for `length`, repeated after each of `repeats`; `evidence` names the checks it shows."""

    kind: Literal["approval"] = "approval"
    gate: Gate
    length: timedelta
    evidence: tuple[str, ...] = ()
    repeats: tuple[timedelta, ...] = ()


_STORED_EMPTY: Mapping[str, object] = {
    "where": None,
    "expect": [],
    "within": "PT0S",
    "remember": None,
    "attach": False,
    "action": None,
    "undo": None,
    "no_undo_because": None,
    "repeatable": True,
    "length": "PT0S",
    "watch": None,
    "gate": None,
    "evidence": [],
    "repeats": [],
    "only_if": [],
    "hopes": None,
}
"""A stored step has the fields of all kinds, those of the others empty: so the first version wrote them, and digests
are of that. Read again, what its kind does not have is passed over.
"""


def _stored(step: object, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
    return {**_STORED_EMPTY, **write(step)}


PlannedStep = Annotated[
    PlannedCheck | PlannedChange | PlannedWait | PlannedApproval,
    Field(discriminator="kind"),
    WrapSerializer(_stored, when_used="json"),
]
"""One step with everything filled in."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedStage:
    """Steps that belong together; `uninterrupted` waits for nobody once begun."""

    name: str
    says: str
    uninterrupted: bool
    verifies: bool
    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """A step that is not part of this run, and why."""

    step: str
    because: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What one run does, literally. `back` marks a plan that undoes another."""

    title: str
    stages: tuple[PlannedStage, ...]
    left_out: tuple[LeftOut, ...] = ()
    back: bool = False
    config_digest: str | None = None
    brings: tuple[str, ...] = ()
    """What it brings the backend to, and from what, in words."""

    @cached_property  # asked for at every fact, again and again
    def steps(self) -> tuple[PlannedStep, ...]:
        """Every step in order."""
        return tuple(step for stage in self.stages for step in stage.steps)

    @property
    def changes(self) -> tuple[PlannedChange, ...]:
        """The steps that alter a host, in order."""
        return tuple(step for step in self.steps if isinstance(step, PlannedChange))

    @property
    def preparing(self) -> tuple[PlannedStage, ...]:
        """The stages at the beginning that leave nothing to be undone: a failure there refuses the run."""
        return (*self.stages[:1], *takewhile(_prepares, self.stages[1:]))

    def approval(self, gate: Gate) -> PlannedApproval | None:
        """The step that asks for a gate; None where there is none."""
        return next((step for step in self.steps if isinstance(step, PlannedApproval) and step.gate is gate), None)

    def stage_of(self, step: PlannedStep) -> PlannedStage:
        """The stage that a step of this plan stands in."""
        return next(stage for stage in self.stages if any(member.name == step.name for member in stage.steps))

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that the plan says, in hexadecimal; an approval is for this."""
        written = PLAN.dump_python(self, mode="json")
        # A plan of a version that did not know these fields keeps its digest.
        _leave_out(written, brings=[])
        for step in (step for stage in written["stages"] for step in stage["steps"]):
            _leave_out(step, only_if=[], hopes=None)
            for action in (step[key] for key in ("action", "undo") if step[key]):
                _leave_out(action, within_per_100_users="PT0S", steady="PT0S")
                _leave_out(action["command"], ahead=False, keeps=OUTPUT_KEPT)
        return digest(written)


def _prepares(stage: PlannedStage) -> bool:
    return all(isinstance(step, PlannedCheck | PlannedChange) and len(step.actions) < 2 for step in stage.steps)


PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)


def _leave_out(written: dict[str, Any], **usual: object) -> None:
    for key, value in usual.items():
        if written.get(key, value) == value:
            written.pop(key, None)


def digest(value: object) -> str:
    """SHA-256 of a JSON value in its one canonical writing, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
