"""A plan: literal commands, what proves them, and a digest of it all. fill.py makes it.

A plan is what people approve, so it holds everything that decides what happens on a host. The one thing that it
leaves open is what will have been observed (`{observed.…}`): see observed.py.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from itertools import takewhile
from typing import Any

from pydantic import TypeAdapter

from bot.core.hosts.command import OUTPUT_KEPT, Command
from bot.core.plans.effects import Effect, disturbs, effects
from bot.core.plans.procedure import Gate, Where

Value = str | int | bool | list[str | int | bool] | dict[str, str | int]


class Kind(StrEnum):
    """What a step is: the only four."""

    CHECK = "check"
    CHANGE = "change"
    WAIT = "wait"
    APPROVAL = "approval"


@dataclass(frozen=True, kw_only=True)
class Expected:
    """One probe, where it looks, and what its reading has to say; `asks` are the probe's own keys, filled in."""

    probe: str
    where: Where
    asks: Mapping[str, Value]


@dataclass(frozen=True, kw_only=True)
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

    def patience(self, users: int) -> timedelta:
        """How long it may take to be seen, where so many users are moved by it."""
        return self.within + math.ceil(users / 100) * self.within_per_100_users


@dataclass(frozen=True, kw_only=True)
class Hoped:
    """What a check looks for once it holds, and how long at most; the check holds with or without it."""

    expect: tuple[Expected, ...]
    within: timedelta


@dataclass(frozen=True, kw_only=True)
class PlannedStep:
    """One step with everything filled in; which fields are set goes by its kind."""

    name: str
    kind: Kind
    says: str
    because: str
    runbook: int | None = None
    where: Where | None = None
    expect: tuple[Expected, ...] = ()
    within: timedelta = timedelta(0)
    remember: Mapping[str, str] | None = None
    attach: bool = False
    action: Action | None = None
    undo: Action | None = None
    no_undo_because: str | None = None
    repeatable: bool = True
    length: timedelta = timedelta(0)
    watch: Expected | None = None
    gate: Gate | None = None
    evidence: tuple[str, ...] = ()
    repeats: tuple[timedelta, ...] = ()
    only_if: tuple[Expected, ...] = ()
    hopes: Hoped | None = None

    @property
    def does(self) -> frozenset[Effect]:
        """What its command does to mail; nothing where it is no change."""
        return self.action.does if self.action else frozenset()

    @property
    def disturbs(self) -> bool:
        """Whether users or their mail notice it; those who are moved from a backend that serves do not."""
        return self.action is not None and disturbs(self.action.command.text)


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """Steps that belong together; `uninterrupted` waits for nobody once begun."""

    name: str
    says: str
    uninterrupted: bool
    verifies: bool
    steps: tuple[PlannedStep, ...]


@dataclass(frozen=True, kw_only=True)
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
    def preparing(self) -> tuple[PlannedStage, ...]:
        """The stages at the beginning that leave nothing to be undone: a failure there refuses the run."""
        first, *later = self.stages
        return (first, *takewhile(_prepares, later))

    def stage_of(self, step: PlannedStep) -> PlannedStage:
        """The stage that a step of this plan stands in."""
        return next(stage for stage in self.stages if any(member.name == step.name for member in stage.steps))

    @property
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
    return all(step.kind is Kind.CHECK or (step.kind is Kind.CHANGE and step.undo is None) for step in stage.steps)


PLAN: TypeAdapter[Plan] = TypeAdapter(Plan)


def _leave_out(written: dict[str, Any], **usual: object) -> None:
    for key, value in usual.items():
        if written[key] == value:
            del written[key]


def digest(value: object) -> str:
    """SHA-256 of a JSON value in its one canonical writing, in hexadecimal."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


GUARD_REFUSED = 97
"""The exit status of a guarded command that found the service not stopped, and did nothing."""

REFUSES = f"exit {GUARD_REFUSED};"
"""How such a command refuses."""


def is_guarded(command: str) -> bool:
    """Whether the command refuses on the host while a service runs there: it deletes."""
    return REFUSES in command
