"""The two absolute laws, and the rules that no command may break; both read the literal command, nothing else.

No flush and no stop without the flush approval; no vhost count above 0 and no `up` without the restore approval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bot.core.effects import Effect, effects, restores
from bot.core.plan import Action, Plan
from bot.core.procedure import Gate
from bot.errors import Misconfigured

_GATES = {Effect.FLUSH: Gate.FLUSH, Effect.STOP: Gate.FLUSH, Effect.RESTORE: Gate.RESTORE}


def gates_needed(command: str) -> frozenset[Gate]:
    """The approvals without which this command must never run."""
    return frozenset(_GATES[effect] for effect in effects(command) if effect in _GATES)


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL)
    except (re.error, TypeError) as error:
        raise ValueError(f"this is no regular expression: {error}") from None


class Rule(BaseModel):
    """Something that no rendered command may contain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    never: Annotated[re.Pattern[str], BeforeValidator(_compiled)]
    because: str


class Rules(BaseModel):
    """The file of rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class _Placed:
    step: str
    action: Action


def hold_against(plan: Plan, rules: Rules, ip: str) -> None:
    """Raises Misconfigured when a command of the plan breaks a rule, stands before the approval that it needs, or
    speaks to the directors of another address than the target's `ip`.
    """
    opened: set[Gate] = set()
    for step in plan.steps:
        if step.gate:
            opened.add(step.gate)
        # A way back may begin after the flush approval: there the state is asked, before each command.
        if step.action and not plan.back and (missing := gates_needed(step.action.command.text) - opened):
            raise Misconfigured(
                f"step {step.name}: `{step.action.command.text}` stands before the {min(missing)} approval"
            )
    for placed in _actions(plan):
        _hold_one(placed, rules, ip)
    _can_be_undone(plan)


def _hold_one(placed: _Placed, rules: Rules, ip: str) -> None:
    text = placed.action.command.text
    for rule in rules.rules:
        if any(rule.never.search(line) for line in (text, " ".join(placed.action.command.argv))):
            raise Misconfigured(f"step {placed.step}: `{text}` breaks the rule {rule.rule}: {rule.because}")
    others = set(_ADDRESSED.findall(text)) - {ip}
    if others:
        raise Misconfigured(f"step {placed.step}: `{text}` is about {', '.join(sorted(others))}, which is not {ip}")


_ADDRESSED = re.compile(r"\bdirector\s+(?:update|down|up|flush)\s+(\S+)")


def _can_be_undone(plan: Plan) -> None:
    """A way back that gives users back needs the restore approval of the plan that it undoes."""
    restoring = [placed.step for placed in _actions(plan) if restores(placed.action.command.text)]
    if restoring and not plan.back and Gate.RESTORE not in {step.gate for step in plan.steps}:
        raise Misconfigured(f"step {restoring[0]}: there is no restore approval in this procedure, and it needs one")


def _actions(plan: Plan) -> Iterator[_Placed]:
    for step in plan.steps:
        for action in (step.action, step.undo):
            if action:
                yield _Placed(step=step.name, action=action)
