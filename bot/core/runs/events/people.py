"""What people ask for, are asked, and decide."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from bot.core.hosts.inventory import Target
from bot.core.plans.plan import Plan
from bot.core.plans.procedure import Gate


@dataclass(frozen=True, kw_only=True)
class RunRequested:
    """Somebody asked for a run; from here on it has its ring. `text` is what was typed, but for reason and ticket."""

    procedure: str
    target: Target
    requester: str
    team: str
    channel: str
    text: str
    plan: Plan
    config: str | None = None
    command: str = ""
    reason: str = ""
    ticket: str = ""


@dataclass(frozen=True, kw_only=True)
class ApprovalAsked:
    """A gate was put to the approvers: `digest` is of all they approve, `not_by` may not. Asked again at `repeats`.

    `step` is the gate's own, or the change at hand where an approval has lapsed and is asked for again, for what is
    left. `verified`: what the backend was when it was asked: `configuration` and `packages` where it gets users again;
    before users are disturbed the names of core/decisions/as_shown.py, `in_place` being the listing of the
    configuration.
    `word_of`: who approved it already, by asking to go back; their Approved follows in the same transaction.
    `alarms` and `brief`: what decides, in a few lines, made of the evidence; see core/decisions/brief.py.
    """

    step: str
    gate: Gate
    digest: str
    evidence: tuple[str, ...]
    not_by: tuple[str, ...]
    expires: datetime
    repeats: tuple[datetime, ...] = ()
    verified: Mapping[str, str] = field(default_factory=dict)
    word_of: str = ""
    alarms: tuple[str, ...] = ()
    brief: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ApprovalRepeated:
    """A question that nobody answered was asked again, for the `times`th time; the last time to all approvers."""

    step: str
    gate: Gate
    times: int
    last: bool


@dataclass(frozen=True, kw_only=True)
class ApprovalRefused:
    """Somebody who may not approve tried to."""

    gate: Gate
    by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Approved:
    """A second engineer approved, by a click on the message `message` (Slack's ts)."""

    step: str
    gate: Gate
    by: str
    digest: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Grant:
    """An approval that was given, for a digest, until a date: as long from the click on as it was open for one."""

    gate: Gate
    by: str
    digest: str
    expires: datetime
    given: datetime
    evidence: tuple[str, ...] = ()
    """What it was given on."""
    users: int | None = None
    """How many users were mapped to the backend, as it showed; None where that was not counted."""


@dataclass(frozen=True, kw_only=True)
class Postponed:
    """Somebody answered *not now* at a gate: the run holds as it is, and the gate can be asked again."""

    step: str
    gate: Gate
    by: str
    reason: str
    message: str


@dataclass(frozen=True, kw_only=True)
class LongerWaitChosen:
    """Somebody chose to wait once more before a gate: the run waits again, from `back_to` on, and asks anew."""

    step: str
    gate: Gate
    by: str
    reason: str
    message: str
    back_to: str


@dataclass(frozen=True, kw_only=True)
class Denied:
    """A second engineer answered no, and the run turned round; older versions of the bot wrote it."""

    step: str
    gate: Gate
    by: str
    message: str


@dataclass(frozen=True, kw_only=True)
class ApprovalExpired:
    """Nobody answered in time."""

    step: str
    gate: Gate


@dataclass(frozen=True, kw_only=True)
class ApprovalLapsed:
    """An approval was given, but may not be acted on any more; it is asked for again, at the change `at`.

    Without `at`, as older versions wrote it: the run went back to the gate.
    """

    gate: Gate
    reason: str
    at: str = ""


@dataclass(frozen=True, kw_only=True)
class RetryChosen:
    """Somebody asked for another try of the step."""

    by: str


@dataclass(frozen=True, kw_only=True)
class SkipProposed:
    """Somebody proposes to go on without the step; a second engineer has to agree."""

    by: str
    step: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SkipAgreed:
    """A second engineer agreed to go on without the step."""

    by: str
    step: str


@dataclass(frozen=True, kw_only=True)
class GoBackAsked:
    """Somebody asked to go back, or to abort: at the next safe point the run turns round.

    `start_first`: users wait for a stopped dovecot, so it is started before anything is asked. `approves`: the digest
    of the way back that was shown, where asking for it is its restore approval, too: it gives back vhosts, and no more.
    """

    by: str
    reason: str
    start_first: bool = False
    approves: str = ""


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """Somebody has taken the backend over by hand: the run changes nothing more, and sets nothing back."""

    by: str
    reason: str
