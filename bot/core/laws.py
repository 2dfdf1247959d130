"""The two absolute laws, and the rules that no command may break; both read the literal command, nothing else.

No flush and no stop without the flush approval; no vhost count above 0 and no `up` without the restore approval.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bot.core.plan import Action, Plan
from bot.core.procedure import Gate
from bot.errors import Misconfigured

_LAWS = (
    (re.compile(r"\bdoveadm\b.*\bdirector\b.*\bflush\b"), Gate.FLUSH),
    (re.compile(r"\bsystemctl\b.*\b(stop|kill|restart|disable|isolate)\b"), Gate.FLUSH),
    (re.compile(r"\bdoveadm\b.*\b(service\s+stop|stop|kick)\b"), Gate.FLUSH),
    (re.compile(r"\bdoveadm\b.*\bdirector\b.*\bup\b(?!date)"), Gate.RESTORE),
    (re.compile(r"\bdoveadm\b.*\bdirector\b.*\bupdate\s+\S+\s+(?!0+(\s|$))"), Gate.RESTORE),
)


def gate_needed(command: str) -> Gate | None:
    """The approval without which this command must never run."""
    return next((gate for pattern, gate in _LAWS if pattern.search(command)), None)


class Rule(BaseModel):
    """Something that no rendered command may contain."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: str
    never: Annotated[re.Pattern[str], BeforeValidator(lambda text: re.compile(text, re.DOTALL))]
    because: str


class Rules(BaseModel):
    """The file of rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rules: tuple[Rule, ...] = Field(min_length=1)


@dataclass(frozen=True, kw_only=True)
class _Placed:
    step: str
    action: Action


def hold_against(plan: Plan, rules: Rules) -> None:
    """Raises Misconfigured when a command of the plan breaks a rule, or stands before the approval that it needs."""
    opened: set[Gate] = set()
    for step in plan.steps:
        if step.gate:
            opened.add(step.gate)
        if step.action and not plan.back and (gate := gate_needed(step.action.command.text)) and gate not in opened:
            raise Misconfigured(f"step {step.name}: `{step.action.command.text}` stands before the {gate} approval")
    for placed in _actions(plan):
        text = placed.action.command.text
        for rule in rules.rules:
            if any(rule.never.search(line) for line in (text, " ".join(placed.action.command.argv))):
                raise Misconfigured(f"step {placed.step}: `{text}` breaks the rule {rule.rule}: {rule.because}")


def _actions(plan: Plan) -> Iterator[_Placed]:
    for step in plan.steps:
        for action in (step.action, step.undo):
            if action:
                yield _Placed(step=step.name, action=action)
