"""What a run does: its stages, steps and waits, where it holds, turns round and ends."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from bot.core.plans.plan import Plan
from bot.core.runs.events.evidence import Ran, Seen


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
class RunHeld:
    """The run holds, though no step failed: something did not allow it to go on.

    `back_to`: the step that has to be made again, where what it made is gone; the run goes on from there.
    """

    reason: str
    back_to: str = ""


@dataclass(frozen=True, kw_only=True)
class TurnedBack:
    """The run follows another plan from here on: the one that undoes what was done."""

    plan: Plan


@dataclass(frozen=True, kw_only=True)
class RunEnded:
    """The run is over and its ring is free; `by` whoever said so of a backend that had been taken over by hand."""

    outcome: Outcome
    reason: str = ""
    by: str = ""
