"""The facts of a run, past tense. They are the state, the change record and the thread: nothing else is kept.

Old facts must always fold: a field may be added with a default, never taken away or given another meaning. `kind` in
the journal is the class name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from pydantic import TypeAdapter

from bot.core.hosts.inventory import Target
from bot.core.plans.plan import Plan
from bot.core.plans.procedure import Gate
from bot.errors import Illegal


class How(StrEnum):
    """How a step came to be done."""

    RAN = "ran"
    FOUND = "found done already"
    LOOKED_UP = "found done when looked up"


class Outcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    REFUSED = "refused"
    WENT_BACK = "went back"
    ABORTED = "aborted"
    TAKEN_OVER = "taken over"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """A command that ran on a host, or was sent there. `exit_status` None: its end was not heard.

    `output` is shortened and has its secrets hidden; `output_bytes` counts what the command really printed.
    """

    host: str
    command: str
    exit_status: int | None
    took: timedelta
    output: str
    output_bytes: int
    changes: bool


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one look at one host read, or why it could not be read."""

    host: str
    probe: str
    reading: Mapping[str, str | int | bool] | None
    problem: str = ""


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
class HostsProved:
    """Every host of the run proved to be the one that the settings mean, and the run claims its directors themselves.

    `by` says what proved the backend, in words; `lock` is the file on it that changes are sent behind. `directors`: by
    name, the IP:PORT that its own row of the ring's status says.
    """

    backend: str
    by: str
    machine_id: str
    boot_id: str
    lock: str
    directors: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class StageBegan:
    """A stage was announced."""

    stage: str


@dataclass(frozen=True, kw_only=True)
class StepStarted:
    """A change is about to be sent to a host: written before the host hears of it. `looked`: what showed the need.

    `seen`: what its guards read right before. `not_after`: the host refuses it later than that, by its own clock, in
    seconds since 1970. `boot_id`: the backend's boot. `word`: on whose word it is sent, where an approval was not
    judged again, as users wait.
    """

    step: str
    attempt: int
    host: str
    command: str
    looked: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()
    not_after: int = 0
    boot_id: str = ""
    word: str = ""


@dataclass(frozen=True, kw_only=True)
class StepDone:
    """A step was seen to be done, on the hosts. `attachment` is a text for people to read."""

    step: str
    how: How
    ran: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()
    reason: str = ""
    remembered: Mapping[str, str] | None = None
    attachment: str = ""


@dataclass(frozen=True, kw_only=True)
class StepUnclear:
    """A change was sent and nobody knows what came of it."""

    step: str
    reason: str
    ran: tuple[Ran, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepNotDone:
    """A change never reached its host, or was looked up and is not done: it may be tried again."""

    step: str
    reason: str
    ran: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class UsersCameBack:
    """Before the stop, users were mapped to the emptied backend again: they are moved again, from `back_to` on."""

    back_to: str
    reason: str
    ran: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class StepFailed:
    """A step was not seen to be done; the run holds here."""

    step: str
    reason: str
    ran: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class WaitBegan:
    """A wait runs until a date, whatever happens to the bot meanwhile.

    `clocks`: what the clocks of the hosts that answered showed then, in seconds since 1970, by the hosts' names; a bot
    that was away sees by them how much has passed. Older versions read none.
    """

    step: str
    until: datetime
    clocks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class WaitGoesOn:
    """A bot that was away found out how much of the wait has passed; `until`: when the rest has, by its clock now.

    `clocks`: as of WaitBegan, where the length counts from here on; empty where those stand.
    """

    step: str
    until: datetime
    reason: str
    clocks: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class UsersCounted:
    """The users still mapped to the backend, by director; directors that did not answer are left out."""

    users: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class ApprovalAsked:
    """A gate was put to the approvers: `digest` is of all they approve, `not_by` may not. Asked again at `repeats`.

    `step` is the gate's own, or the change at hand where an approval has lapsed and is asked for again, for what is
    left. `verified`: what the backend was when it was asked: `configuration` and `packages` where it gets users again;
    before users are disturbed the names of core/decisions/approved.py, `in_place` being the listing of the
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
class RingDeviated:
    """A director says otherwise than this run left it, first of all `step`; written before it is set back.

    `helpless`: why it is not set back, empty when it is.
    """

    step: str
    host: str
    reason: str
    helpless: str = ""


@dataclass(frozen=True, kw_only=True)
class RingSetBack:
    """What came of setting a director back; `holds` when every director that answers says what it should again.

    `not_after`: as of StepStarted.
    """

    step: str
    holds: bool
    reason: str
    not_after: int = 0
    ran: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RunHeld:
    """The run holds, though no step failed: something did not allow it to go on.

    `back_to`: the step that has to be made again, where what it made is gone; the run goes on from there.
    """

    reason: str
    back_to: str = ""


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
class TurnedBack:
    """The run follows another plan from here on: the one that undoes what was done."""

    plan: Plan


@dataclass(frozen=True, kw_only=True)
class BackendRebooted:
    """The backend was booted since this run last changed it; `reason` says what of that is left.

    `lost` is the first step whose effect is gone, empty when all that has to be so still is.
    """

    host: str
    boot_id: str
    was: str
    reason: str
    lost: str = ""
    ran: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OthersCounted:
    """The other backends that users can be sent to became fewer than the ring needs, or enough again."""

    usable: int
    needed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class MonitorSaysUp:
    """A health monitor has set the backend up at vhost count 0, which harms nobody; reported once."""

    host: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class TakenOver:
    """Somebody has taken the backend over by hand: the run changes nothing more, and sets nothing back."""

    by: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """The run is over and its ring is free."""

    outcome: Outcome
    reason: str = ""


Fact = (
    RunRequested
    | HostsProved
    | StageBegan
    | StepStarted
    | StepDone
    | StepUnclear
    | StepNotDone
    | UsersCameBack
    | StepFailed
    | WaitBegan
    | WaitGoesOn
    | UsersCounted
    | ApprovalAsked
    | ApprovalRepeated
    | ApprovalRefused
    | Approved
    | Postponed
    | LongerWaitChosen
    | Denied
    | ApprovalExpired
    | ApprovalLapsed
    | RingDeviated
    | RingSetBack
    | RunHeld
    | RetryChosen
    | SkipProposed
    | SkipAgreed
    | GoBackAsked
    | TurnedBack
    | BackendRebooted
    | OthersCounted
    | MonitorSaysUp
    | TakenOver
    | RunEnded
)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A fact with its place in the journal: `seq` counts from 1 in its run; `at` is UTC."""

    run: str
    seq: int
    at: datetime
    fact: Fact


_KINDS: Mapping[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in Fact.__args__}


def body_of(fact: Fact) -> dict[str, Any]:
    """The fact as JSON values, for the journal."""
    return _KINDS[type(fact).__name__].dump_python(fact, mode="json")  # type: ignore[no-any-return]


def fact_from(kind: str, body: object) -> Fact:
    """The fact that a journal row holds; raises Illegal when it is none."""
    if kind not in _KINDS:
        raise Illegal(f"the journal holds a fact of an unknown kind: {kind}")
    try:
        return _KINDS[kind].validate_python(body)  # type: ignore[no-any-return]
    except ValueError as error:
        raise Illegal(f"the journal holds a {kind} that cannot be read: {error}") from None
