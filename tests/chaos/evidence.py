"""What is left of a scene for the judges: the hosts' own log, the journal's facts, the Slack thread, clicks, samples.

Nothing here is what the bot says of itself, but for the facts, and those are held against the other sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

from bot.core.hosts.inventory import Target
from bot.core.plans.plan import Expected, Plan, PlannedChange
from bot.core.plans.procedure import Where
from bot.core.readings.probes import PROBES
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.practice.slack.workspace import Message
from bot.practice.values import FailedLogin, Loss, Ran

Law = Literal["repeated", "lost", "unapproved", "two_out", "last_taken", "wrong_host", "deleted_unflushed", "late"]


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A law that a scene broke, and how."""

    law: Law
    what: str


@dataclass(frozen=True, kw_only=True)
class Click:
    """One click of a person on a button: `at` is before Slack heard of it, `gate` what the message asked for."""

    at: datetime
    user: str
    action: str
    gate: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The ring from `at` on: backends that a director says are out, those one gives users to, those that serve.

    `given`: those with vhosts on a director, `mapped` those with users; `hanging`: directors that are stopped;
    `known`: there was a director with the ring's state.
    """

    at: datetime
    out: frozenset[str]
    active: frozenset[str]
    usable: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    mapped: frozenset[str] = frozenset()
    hanging: frozenset[str] = frozenset()
    known: bool = True


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is known of one scene.

    `interrupted`: when the bot was killed or connections were cut, so that it did not hear commands' ends; `unheard`:
    parts of commands whose connection was cut while they ran. `started`: when the bot was there; `reboots`: those of
    the backend; `losses`: what was deleted of a metacache that was not flushed.

    `alone`: what whoever asked was told, and nobody else. `ring_disturbed`: somebody else changed the ring, so a change
    of it may rightly be made again; `others_gone`: the case took the other backends away. `unusual`: what is not as
    before at the end. `remarks`: what was seen on the way that must not be.
    """

    entries: tuple[Entry, ...]
    log: tuple[Ran, ...]
    thread: tuple[Message, ...]
    roots: tuple[Message, ...] = ()
    alone: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    clicks: tuple[Click, ...] = ()
    samples: tuple[Sample, ...] = ()
    interrupted: tuple[datetime, ...] = ()
    unheard: tuple[str, ...] = ()
    started: tuple[datetime, ...] = ()
    reboots: tuple[datetime, ...] = ()
    losses: tuple[Loss, ...] = ()
    ring_disturbed: bool = False
    others_gone: bool = False
    drain: timedelta = timedelta(seconds=1)
    unusual: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()
    may_end: frozenset[str] = frozenset({"done"})
    outcome: str | None = "done"
    failed_logins: tuple[FailedLogin, ...] = field(default=())

    @property
    def request(self) -> fact.RunRequested:
        """What was asked for."""
        asked = self.entries[0].fact
        assert isinstance(asked, fact.RunRequested)
        return asked

    @property
    def target(self) -> Target:
        """The backend and its ring."""
        return self.request.target

    @property
    def plans(self) -> tuple[Plan, ...]:
        """The plan, and the way back if the run turned round."""
        turned = (entry.fact.plan for entry in self.entries if isinstance(entry.fact, fact.TurnedBack))
        return (self.request.plan, *turned)

    @property
    def followed(self) -> Iterator[tuple[Plan, datetime, datetime]]:
        """Each plan, and from when until when it was followed."""
        turned = [entry.at for entry in self.entries if isinstance(entry.fact, fact.TurnedBack)]
        begins = [datetime.min.replace(tzinfo=UTC), *turned]
        return zip(self.plans, begins, [*turned, datetime.max.replace(tzinfo=UTC)], strict=True)

    @property
    def changes(self) -> Iterator[PlannedChange]:
        """Every step that changes something."""
        return (step for plan in self.plans for step in plan.changes)

    def ran(self, text: str) -> list[Ran]:
        """When a command ran, on any host, in order."""
        return [one for one in self.log if bare(one.command) == text]


def bare(command: str) -> str:
    """A command without the `sudo -n` that the hosts of this ring want."""
    return command.removeprefix("sudo -n -- ")


def hosts_of(target: Target, where: Where) -> frozenset[str]:
    """The names of the hosts of a role."""
    hosts = (target.backend,) if where is Where.BACKEND else target.ring.directors
    return frozenset(host.name for host in hosts)


def is_look(ran: Ran, expected: Expected, target: Target) -> bool:
    """Whether a command is the probe of this expectation, on a host of its role."""
    text = PROBES[expected.probe].command(target, expected.asks).text
    return bare(ran.command) == text and ran.host in hosts_of(target, expected.where)
