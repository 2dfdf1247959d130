"""Procedure × target → the plan: literal commands, what proves them, and a digest of it all.

A plan is what people approve, so it holds everything that decides what happens on a host. The one thing that it
leaves open is what will have been observed (`{observed.…}`): see observed.py.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from functools import cached_property
from itertools import takewhile
from typing import Any

from pydantic import TypeAdapter

from bot.core.hosts.command import OUTPUT_KEPT, Command
from bot.core.hosts.inventory import Target
from bot.core.plans import procedure as file
from bot.core.plans.effects import Effect, disturbs, effects
from bot.core.plans.procedure import Gate, Need, Where
from bot.core.plans.proposal import PackageChange, Proposal
from bot.errors import Misconfigured, Refused

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


@dataclass(frozen=True, kw_only=True)
class Order:
    """What somebody asked for: a target, and optionally a configuration and packages to bring it to.

    `lists_hours`: the age from which on a host's package lists are old.
    """

    run: str
    target: Target
    proposal: Proposal | None = None
    packages: tuple[PackageChange, ...] = ()
    drain: timedelta
    approval_open: timedelta
    approval_repeats: tuple[timedelta, ...] = ()
    lists_hours: int = 24


def make_plan(procedure: file.Procedure, order: Order) -> Plan:
    """The literal plan; raises Refused for what the procedure does not take, Misconfigured for what it says wrongly."""
    for need, given in ((Need.CONFIG, order.proposal), (Need.PACKAGES, order.packages)):
        if given and need not in procedure.takes:
            raise Refused(f"{procedure.command} takes no {need}=.")
    fill = Filling(order)
    left_out: list[LeftOut] = []
    stages = []
    for stage in procedure.stages:
        steps = [fill.step(step) for step in stage.steps if not _left_out(step, order, left_out)]
        if steps:
            stages.append(
                PlannedStage(
                    name=stage.stage,
                    says=fill.text(stage.says),
                    uninterrupted=stage.uninterrupted,
                    verifies=stage.verifies,
                    steps=tuple(steps),
                )
            )
    return Plan(
        title=fill.text(procedure.title),
        stages=tuple(stages),
        left_out=tuple(left_out),
        config_digest=order.proposal.digest if order.proposal else None,
        brings=tuple(_brought(order)),
    )


def _brought(order: Order) -> Iterator[str]:
    for package in order.packages:
        yield f"{package.name} {package.before or 'not installed'} → {package.version}"
    if order.proposal:
        yield f"/etc/dovecot → the proposed configuration {order.proposal.name}"


_ABSENT = {
    Need.CONFIG: "the configuration stays as it is",
    Need.CONFIG_KEPT: "the configuration in place is replaced",
    Need.PACKAGES: "the packages stay as they are",
    Need.METACACHE: "this ring has no metacache",
    Need.MOVE_FIRST: "this ring's take-down is in the runbook's order: its users are moved once dovecot is stopped",
}


def _left_out(step: file.Step, order: Order, left_out: list[LeftOut]) -> bool:
    there = {
        Need.CONFIG: order.proposal is not None,
        Need.CONFIG_KEPT: order.proposal is None,
        Need.PACKAGES: bool(order.packages),
        Need.METACACHE: order.target.ring.metacache is not None,
        Need.MOVE_FIRST: order.target.ring.moves_first,
    }
    missing = [need for need in step.needs if not there[need]]
    if missing:
        left_out.append(LeftOut(step=step.step, because=_ABSENT[missing[0]]))
    return bool(missing)


_PLACEHOLDER = re.compile(r"\{([a-z_]+(?:\.[a-z_]+)?)\}")


class Filling:
    """Fills the placeholders of a procedure with one order's values, each on its own."""

    def __init__(self, order: Order) -> None:
        self._drain = order.drain
        self._approval_open = order.approval_open
        self._approval_repeats = order.approval_repeats
        self._values = dict(_values(order))

    def text(self, template: str) -> str:
        """The text with every placeholder filled; `observed` ones stay."""
        return _PLACEHOLDER.sub(lambda found: " ".join(self._of(found[1]) or [found[0]]), template)

    def argv(self, template: tuple[str, ...]) -> tuple[str, ...]:
        """Arguments; one that is nothing but a placeholder becomes as many as it has values."""
        filled: list[str] = []
        for word in template:
            whole = _PLACEHOLDER.fullmatch(word)
            filled.extend(self._of(whole[1]) or [word] if whole else [self.text(word)])
        return tuple(filled)

    def script(self, template: str) -> str:
        """A shell script, every filled value quoted for the shell."""

        def quoted(found: re.Match[str]) -> str:
            values = self._of(found[1])
            if values is None:
                raise Misconfigured(f"{found[0]} cannot stand in shell: use run")
            return shlex.join(values)

        return _PLACEHOLDER.sub(quoted, template)

    def _of(self, name: str) -> list[str] | None:
        if name.startswith("observed."):
            return None
        try:
            return self._values[name]
        except KeyError:
            raise Misconfigured(f"no such placeholder here: {{{name}}}") from None

    def expected(self, expectation: file.Expectation) -> Expected:
        """One expectation with its values filled in."""
        asks = {key: self._value(value) for key, value in expectation.says.items()}
        return Expected(probe=expectation.probe, where=expectation.where, asks=asks)

    def _value(self, value: Any) -> Value:
        if isinstance(value, file.Bound):
            return value.model_dump(exclude_none=True)
        if isinstance(value, tuple):
            return [member if isinstance(member, bool | int) else self.text(member) for member in value]
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        text = self.text(value)
        return int(text) if text != value and text.isascii() and text.isdigit() else text

    def action(self, running: file.Running) -> Action:
        """A command with its proof."""
        argv = self.argv(running.run) if running.run else ("sh", "-c", self._guarded(running))
        command = Command(argv=argv, timeout=running.timeout, sends=running.sends)
        return Action(
            command=command,
            done_when=self._expectations(running.done_when),
            within=running.within,
            within_per_100_users=running.within_per_100_users,
            steady=running.steady,
        )

    def _guarded(self, running: file.Running) -> str:
        script = self.script(running.shell or "")
        if running.while_stopped is None:
            return script
        state = f"systemctl show --property=ActiveState --value {running.while_stopped}"
        return f'test "$({state})" = inactive || {_REFUSES} {script}'

    def _expectations(self, expectations: tuple[file.Expectation, ...]) -> tuple[Expected, ...]:
        return tuple(self.expected(one) for one in expectations)

    def _hoped(self, hopes: file.Hopes | None) -> Hoped | None:
        return Hoped(expect=self._expectations(hopes.expect), within=hopes.within) if hopes else None

    def step(self, step: file.Step) -> PlannedStep:
        """One step of the plan; raises Misconfigured, naming the step."""
        try:
            planned = self._step(step)
        except Misconfigured as error:
            raise Misconfigured(f"step {step.step}: {error}") from None
        if planned.action and "{observed." in planned.action.command.text:
            raise Misconfigured(f"step {step.step}: {{observed.…}} can stand in an undo or a check only")
        return planned

    def _step(self, step: file.Step) -> PlannedStep:
        base = PlannedStep(
            name=step.step,
            kind=Kind.CHECK,
            says=self.text(step.says),
            because=self.text(step.because),
            runbook=step.runbook,
        )
        match step:
            case file.Check():
                return replace(
                    base,
                    expect=self._expectations(step.expect),
                    within=step.within,
                    hopes=self._hoped(step.hopes),
                    remember=step.remember,
                    attach=step.attach,
                )
            case file.Change():
                return replace(
                    base,
                    kind=Kind.CHANGE,
                    where=step.where,
                    action=self.action(step),
                    undo=self.action(step.undo) if step.undo else None,
                    no_undo_because=step.no_undo_because,
                    repeatable=step.repeatable,
                    only_if=self._expectations(step.only_if),
                )
            case file.Wait():
                length = self._drain if step.wait == "drain" else step.wait
                watch = self.expected(step.watch) if step.watch else None
                return replace(base, kind=Kind.WAIT, length=length, watch=watch)
            case file.Approval():
                return replace(
                    base,
                    kind=Kind.APPROVAL,
                    gate=Gate(step.approval),
                    evidence=step.evidence,
                    length=self._approval_open,
                    repeats=self._approval_repeats,
                )


GUARD_REFUSED = 97
"""The exit status of a guarded command that found the service not stopped, and did nothing."""

_REFUSES = f"exit {GUARD_REFUSED};"


def is_guarded(command: str) -> bool:
    """Whether the command refuses on the host while a service runs there: it deletes."""
    return _REFUSES in command


def _values(order: Order) -> Iterator[tuple[str, list[str]]]:
    ring, backend = order.target.ring, order.target.backend
    yield "run", [order.run]
    yield "backend.name", [backend.name]
    yield "backend.ip", [str(backend.ip)]
    yield "backend.vhosts", [str(backend.vhosts)]
    yield "ring.name", [ring.name]
    yield "ring.test_user", [ring.test_user]
    yield "ring.imap_port", [str(ring.imap_port)]
    yield "ring.lmtp_port", [str(ring.lmtp_port)]
    if ring.metacache:
        yield "metacache.flush_unit", [ring.metacache.flush_unit]
    if order.packages:
        yield "packages", [str(package) for package in order.packages]
        yield "packages.before", [f"{package.name}={package.before}" for package in order.packages]
        yield "packages.folder", [f"/var/cache/dovecot-bot/{order.run}"]
        yield "packages.lists_hours", [str(order.lists_hours)]
    if order.proposal:
        yield "config.name", [order.proposal.name]
        yield "config.digest", [order.proposal.digest]
        yield "config.contents", [order.proposal.contents]
        yield "config.owners", [order.proposal.owners]
        for what, end in (("staged", "proposed"), ("before", "before"), ("withdrawn", "withdrawn")):
            yield f"config.{what}", [f"/etc/dovecot.{order.run}.{end}"]
