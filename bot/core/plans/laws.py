"""The two absolute laws, and the rules that no command may break; both read the literal command, nothing else.

No flush and no stop without the flush approval; no vhost count above 0 and no `up` without the restore approval. As
what stops a service has a hundred spellings, the flush approval is needed by all but a short list of harmless commands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, assert_never

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from bot.core.plans.effects import TAKE_USERS_AWAY, Effect, effects, takes_back
from bot.core.plans.plan import Action, Plan, PlannedApproval, PlannedChange, PlannedCheck, PlannedWait, Value
from bot.core.plans.procedure import Gate, Where
from bot.errors import Misconfigured

_GATES = {Effect.FLUSH: Gate.FLUSH, Effect.STOP: Gate.FLUSH, Effect.RESTORE: Gate.RESTORE}


def gates_needed(command: str) -> frozenset[Gate]:
    """The approvals without which this command must never run."""
    return frozenset(_GATES[effect] for effect in effects(command) if effect in _GATES)


_GIVES_BACK = re.compile(r"doveadm director (up [0-9A-Fa-f.:]+|update [0-9A-Fa-f.:]+ [0-9]+)")
"""Held by the restore law, whatever list a site has: a backend at vhost count 0 can be put back, flushed or not."""


def needs_flush_approval(command: str, harmless: Iterable[Harmless]) -> bool:
    """Whether the flush approval is needed, as nothing is known of the command that would make it harmless."""
    if _GIVES_BACK.fullmatch(command) and Effect.RESTORE in effects(command):
        return False
    return not any(one.exactly.fullmatch(command) for one in harmless)


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.DOTALL)
    except (re.error, TypeError) as error:
        raise ValueError(f"this is no regular expression: {error}") from None


_ESCAPED = re.compile(r"\\[^SWDs]")
_DOTS_IN_A_SET = re.compile(r"(?<=\[)[^\]^][^\]]*")
_ANYTHING = re.compile(r"\.|\[\^|\\[SWDs]")


def _exact(text: str) -> re.Pattern[str]:
    """A pattern with a wildcard would take `mkdir x; reboot` for the harmless `mkdir x`."""
    compiled = _compiled(text)
    bare = _ESCAPED.sub("", text)
    literal = _DOTS_IN_A_SET.sub(lambda found: found[0].replace(".", ""), bare)
    if found := _ANYTHING.search(literal):
        raise ValueError(f"`{found[0]}` stands for almost anything: say which characters, as in [0-9a-z]+")
    return compiled


class Harmless(BaseModel):
    """A command that disturbs nobody, from its first character to its last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    harmless: str
    exactly: Annotated[re.Pattern[str], BeforeValidator(_exact)]
    because: str


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
    harmless: tuple[Harmless, ...] = ()

    @property
    def lists_harmless(self) -> bool:
        """Whether the file says what is harmless; one that says so of nothing does, too."""
        return "harmless" in self.model_fields_set


@dataclass(frozen=True, kw_only=True)
class _Placed:
    step: str
    where: Where
    action: Action


def check_rules(plan: Plan, rules: Rules, ip: str) -> None:
    """Raises Misconfigured when a command of the plan breaks a rule, stands before the approval that it needs, or
    speaks to the directors of another address than the target's `ip`; and when the plan, or the way back from it, would
    leave the backend out.
    """
    # A way back may begin after the flush approval: there the state is asked, before each command. It is made from what
    # was done already, as an older version planned it.
    if not plan.back:
        _behind_its_gates(plan, rules)
    for placed in _actions(plan):
        _hold_one(placed, rules, ip)
    _can_be_undone(plan)
    if not plan.back:
        _on_its_hosts(plan)
        _gives_back(plan)
        _goes_back(plan)
        _is_read_back(plan)


def _behind_its_gates(plan: Plan, rules: Rules) -> None:
    opened: set[Gate] = set()
    for step in plan.steps:
        match step:
            case PlannedApproval():
                opened.add(step.gate)
            case PlannedChange():
                _behind(opened, step, rules)
            case PlannedCheck() | PlannedWait():
                pass  # they alter no host
            case _:
                assert_never(step)


def _behind(opened: set[Gate], step: PlannedChange, rules: Rules) -> None:
    text = step.action.command.text
    if missing := gates_needed(text) - opened:
        raise Misconfigured(f"step {step.name}: `{text}` stands before the {min(missing)} approval")
    if Gate.FLUSH not in opened and needs_flush_approval(text, rules.harmless):
        raise Misconfigured(
            f"step {step.name}: `{text}` stands before the flush approval, and is none of the commands that"
            " rules.yaml lists as harmless"
        )
    if Gate.RESTORE in opened and step.does & _SEEN_BEFORE_THE_RESTORE:
        raise Misconfigured(
            f"step {step.name}: `{text}` stands behind the restore approval, which is given for a backend that all of"
            " this was done to, and that was then seen to work"
        )


_SEEN_BEFORE_THE_RESTORE = TAKE_USERS_AWAY | {Effect.STOP, Effect.DELETE, Effect.INSTALL, Effect.CONFIGURE, Effect.MASK}

_OF_THE_BACKEND = _SEEN_BEFORE_THE_RESTORE - TAKE_USERS_AWAY | {Effect.START_DOVECOT, Effect.UNMASK}


def _on_its_hosts(plan: Plan) -> None:
    """A director that is stopped or changed takes mail from everybody, and no guard looks at it."""
    for placed in _actions(plan):
        if placed.where is not Where.BACKEND and placed.action.does & _OF_THE_BACKEND:
            raise Misconfigured(
                f"step {placed.step}: `{placed.action.command.text}` would be done on a director, where nothing is"
                " stopped, started, installed, changed or deleted; say `where: backend`"
            )


_GIVEN_BACK = {
    Effect.TAKES_VHOSTS: "`doveadm director update` with its vhost count",
    Effect.DOWN: "`doveadm director up`",
}


def _gives_back(plan: Plan) -> None:
    """A run that has ended watches nothing, so what it took has to be given back in it."""
    for effect, how in _GIVEN_BACK.items():
        took = [at for at, step in enumerate(plan.changes) if effect in step.does]
        gave = [at for at, step in enumerate(plan.changes) if effect in takes_back(step.action.command.text)]
        if took and max(gave, default=-1) < took[-1]:
            raise Misconfigured(
                f"step {plan.changes[took[-1]].name}: no later step of this run has {how}, so it would end with the"
                " backend out, and nobody would watch it"
            )


def _goes_back(plan: Plan) -> None:
    """What is not undone is left as it is by going back, which then ends, or stands before a stopped dovecot."""
    for step in plan.changes:
        undone = step.undo.does if step.undo else frozenset[Effect]()
        given = takes_back(step.undo.command.text) if step.undo else frozenset[Effect]()
        missing = [how for effect, how in _GIVEN_BACK.items() if effect in step.does - given]
        if Effect.STOP_DOVECOT in step.does and Effect.START_DOVECOT not in step.does | undone:
            missing.append("`systemctl start dovecot`")
        if Effect.MASK in step.does and Effect.UNMASK not in step.does | undone:
            missing.append("`systemctl unmask dovecot`")
        if missing:
            raise Misconfigured(
                f"step {step.name}: its undo has to have {' and '.join(missing)}, or nobody can go back"
            )


_TOLD = re.compile(r"\bdirector\s+(?:(update)\s+\S+\s+([0-9]+)|(down|up|flush)\b)")


def _is_read_back(plan: Plan) -> None:
    """A proof that is about something else finds a change done that was never sent, or fails one that was."""
    for placed in _actions(plan):
        for found in _TOLD.finditer(placed.action.command.text):
            wanted: tuple[str, Value] = ("vhosts", int(found[2])) if found[1] else _SHOWN_BY[found[3]]
            if not any(_asks_for(one.asks.get(wanted[0]), wanted[1]) for one in placed.action.done_when):
                raise Misconfigured(
                    f"step {placed.step}: the done_when of `{placed.action.command.text}` has to look for"
                    f" {wanted[0]}: {wanted[1]}"
                )


_SHOWN_BY: dict[str, tuple[str, Value]] = {"down": ("state", "down"), "up": ("state", "up"), "flush": ("users", 0)}


def _asks_for(asked: Value | None, wanted: Value) -> bool:
    return asked in (wanted, [wanted])


def broken_by(action: Action, rules: Iterable[Rule]) -> str:
    """Which rule the command breaks and what that means, in words; empty where it breaks none."""
    text = action.command.text
    lines = {text, " ".join(action.command.argv)}
    for rule in rules:
        if any(rule.never.search(line) for line in lines):
            return f"`{text}` breaks the rule {rule.rule}: {rule.because}"
    return ""


def _hold_one(placed: _Placed, rules: Rules, ip: str) -> None:
    text = placed.action.command.text
    if broken := broken_by(placed.action, rules.rules):
        raise Misconfigured(f"step {placed.step}: {broken}")
    others = set(_ADDRESSED.findall(text)) - {ip}
    if others:
        raise Misconfigured(f"step {placed.step}: `{text}` is about {', '.join(sorted(others))}, which is not {ip}")


_ADDRESSED = re.compile(r"\bdirector\s+(?:update|down|up|flush)\s+(\S+)")


def _can_be_undone(plan: Plan) -> None:
    """A way back that gives users back needs the restore approval of the plan that it undoes."""
    restoring = [placed.step for placed in _actions(plan) if Effect.RESTORE in placed.action.does]
    if restoring and not plan.back and plan.approval(Gate.RESTORE) is None:
        raise Misconfigured(f"step {restoring[0]}: there is no restore approval in this procedure, and it needs one")


def _actions(plan: Plan) -> Iterator[_Placed]:
    for step in plan.changes:
        for action in step.actions:
            yield _Placed(step=step.name, where=step.where, action=action)
