"""The facts of a run, past tense. They are the state, the change record and the thread: nothing else is kept.

Of what a run does: steps.py; of people: people.py; of the ring and its hosts: ring.py. Old facts must always fold: a
field may be added with a default, never taken away or given another meaning. `kind` in the journal is the class name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from pydantic import TypeAdapter

from bot.core.plans.plan import digest
from bot.core.runs.events.evidence import Ran as Ran
from bot.core.runs.events.evidence import Seen as Seen
from bot.core.runs.events.people import ApprovalAsked as ApprovalAsked
from bot.core.runs.events.people import ApprovalExpired as ApprovalExpired
from bot.core.runs.events.people import ApprovalLapsed as ApprovalLapsed
from bot.core.runs.events.people import ApprovalRefused as ApprovalRefused
from bot.core.runs.events.people import ApprovalRepeated as ApprovalRepeated
from bot.core.runs.events.people import Approved as Approved
from bot.core.runs.events.people import Denied as Denied
from bot.core.runs.events.people import GoBackAsked as GoBackAsked
from bot.core.runs.events.people import Grant as Grant
from bot.core.runs.events.people import LongerWaitChosen as LongerWaitChosen
from bot.core.runs.events.people import Postponed as Postponed
from bot.core.runs.events.people import RetryChosen as RetryChosen
from bot.core.runs.events.people import RunRequested as RunRequested
from bot.core.runs.events.people import SkipAgreed as SkipAgreed
from bot.core.runs.events.people import SkipProposed as SkipProposed
from bot.core.runs.events.people import TakenOver as TakenOver
from bot.core.runs.events.ring import BackendRebooted as BackendRebooted
from bot.core.runs.events.ring import HostsProved as HostsProved
from bot.core.runs.events.ring import MonitorSaysUp as MonitorSaysUp
from bot.core.runs.events.ring import OthersCounted as OthersCounted
from bot.core.runs.events.ring import RingDeviated as RingDeviated
from bot.core.runs.events.ring import RingSetBack as RingSetBack
from bot.core.runs.events.ring import SeenOut as SeenOut
from bot.core.runs.events.ring import SettingsChanged as SettingsChanged
from bot.core.runs.events.steps import How as How
from bot.core.runs.events.steps import Outcome as Outcome
from bot.core.runs.events.steps import RunEnded as RunEnded
from bot.core.runs.events.steps import RunHeld as RunHeld
from bot.core.runs.events.steps import StageBegan as StageBegan
from bot.core.runs.events.steps import StepDone as StepDone
from bot.core.runs.events.steps import StepFailed as StepFailed
from bot.core.runs.events.steps import StepNotDone as StepNotDone
from bot.core.runs.events.steps import StepStarted as StepStarted
from bot.core.runs.events.steps import StepUnclear as StepUnclear
from bot.core.runs.events.steps import TurnedBack as TurnedBack
from bot.core.runs.events.steps import UsersCameBack as UsersCameBack
from bot.core.runs.events.steps import UsersCounted as UsersCounted
from bot.core.runs.events.steps import WaitBegan as WaitBegan
from bot.core.runs.events.steps import WaitGoesOn as WaitGoesOn
from bot.errors import Illegal

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What a run is called by, in any version."""

Report = (
    RunRequested
    | HostsProved
    | StageBegan
    | StepStarted
    | StepDone
    | StepUnclear
    | StepNotDone
    | UsersCameBack
    | WaitBegan
    | WaitGoesOn
    | UsersCounted
    | ApprovalRefused
    | ApprovalLapsed
    | RingDeviated
    | RingSetBack
    | TurnedBack
    | BackendRebooted
    | MonitorSaysUp
    | SeenOut
    | SettingsChanged
)
"""Facts that ask nothing of people, and end nothing that they were asked."""

Fact = (
    Report
    | StepFailed
    | ApprovalAsked
    | ApprovalRepeated
    | Approved
    | Postponed
    | LongerWaitChosen
    | Denied
    | ApprovalExpired
    | RunHeld
    | RetryChosen
    | SkipProposed
    | SkipAgreed
    | GoBackAsked
    | OthersCounted
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

    @property
    def mark(self) -> str:
        """The beginning of a digest of when it was and what it asked, the same in every version of the bot.

        It tells this fact from another one that had its number, before an older copy of the journal was put back.
        """
        asked = self.fact.digest if isinstance(self.fact, ApprovalAsked) else ""
        at = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        return digest([at, type(self.fact).__name__, asked])[:8]


_KINDS: Mapping[str, type[Fact]] = {kind.__name__: kind for kind in Fact.__args__}


@cache
def _adapter(kind: str) -> TypeAdapter[Fact]:
    """Made when it is first used: all of them at once are a tenth of what a start of the bot takes."""
    return TypeAdapter(_KINDS[kind])


def body_of(fact: Fact) -> str:
    """The fact as the journal holds it: JSON in one canonical writing; ASCII, so that every database keeps it."""
    values = _adapter(type(fact).__name__).dump_python(fact, mode="json")
    return json.dumps(values, sort_keys=True, separators=(",", ":"))


def fact_from(kind: str, body: str) -> Fact:
    """The fact that a journal row holds; raises Illegal when it is none."""
    if kind not in _KINDS:
        raise Illegal(f"the journal holds a fact of an unknown kind: {kind}")
    adapter = _adapter(kind)
    try:
        # pydantic's own reader is faster, and takes no half of a surrogate pair, which a host may well print.
        return adapter.validate_python(json.loads(body)) if "\\ud" in body else adapter.validate_json(body)
    except ValueError as error:
        raise Illegal(f"the journal holds a {kind} that cannot be read: {error}") from None
