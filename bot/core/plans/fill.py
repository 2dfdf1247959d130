"""Procedure × target → the plan: every placeholder filled, every step that this run does not need left out."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

from bot.core.hosts.command import Command
from bot.core.hosts.inventory import Target
from bot.core.plans import procedure as file
from bot.core.plans.effects import REFUSES
from bot.core.plans.plan import (
    Action,
    Expected,
    Hoped,
    LeftOut,
    Plan,
    PlannedApproval,
    PlannedChange,
    PlannedCheck,
    PlannedStage,
    PlannedStep,
    PlannedWait,
    Value,
)
from bot.core.plans.procedure import Gate, Need
from bot.core.plans.proposal import PackageChange, Proposal
from bot.errors import Misconfigured, Refused


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
        asks = {key: self._value(value) for key, value in expectation.asks.items()}
        return Expected(probe=expectation.probe, where=expectation.where, asks=asks)

    def _value(self, value: Any) -> Value:
        if isinstance(value, file.Bound):
            return value.model_dump(exclude_none=True)
        if isinstance(value, tuple):
            return [member if isinstance(member, bool | int) else self.text(member) for member in value]
        if not isinstance(value, str):
            return value  # type: ignore[no-any-return]
        text = self.text(value)
        # What people log in with may be a number that begins with a zero.
        return int(text) if text != value and re.fullmatch(r"0|[1-9][0-9]*", text) else text

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
        return f'test "$({state})" = inactive || {REFUSES} {script}'

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
        if isinstance(planned, PlannedChange) and "{observed." in planned.action.command.text:
            raise Misconfigured(f"step {step.step}: {{observed.…}} can stand in an undo or a check only")
        return planned

    def _step(self, step: file.Step) -> PlannedStep:
        common: dict[str, Any] = {
            "name": step.step,
            "says": self.text(step.says),
            "because": self.text(step.because),
            "runbook": step.runbook,
        }
        match step:
            case file.Check():
                return PlannedCheck(
                    **common,
                    expect=self._expectations(step.expect),
                    within=step.within,
                    hopes=self._hoped(step.hopes),
                    remember=step.remember,
                    attach=step.attach,
                )
            case file.Change():
                return PlannedChange(
                    **common,
                    where=step.where,
                    action=self.action(step),
                    undo=self.action(step.undo) if step.undo else None,
                    no_undo_because=step.no_undo_because,
                    repeatable=step.repeatable,
                    only_if=self._expectations(step.only_if),
                )
            case file.Wait():
                return PlannedWait(
                    **common,
                    length=self._drain if step.wait == "drain" else step.wait,
                    watch=self.expected(step.watch) if step.watch else None,
                )
            case file.Approval():
                return PlannedApproval(
                    **common,
                    gate=Gate(step.approval),
                    evidence=step.evidence,
                    length=self._approval_open,
                    repeats=self._approval_repeats,
                )
            case _:
                assert_never(step)


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
