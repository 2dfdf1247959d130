"""What the engine needs of the ports, by what it can do. Adapters stand behind these, fakes in tests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from bot.core.decisions.approval import Person
from bot.core.decisions.damage import Damaged, Release
from bot.core.decisions.summary import RunList
from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import Identity
from bot.core.hosts.inventory import Host
from bot.core.plans.proposal import Proposal
from bot.core.runs.events import Entry, Fact
from bot.core.runs.run import Run


class Journal(Protocol):
    """Keeps the facts of all runs, in order, for good."""

    async def append(self, run: str, after: int, at: datetime, facts: Sequence[Fact]) -> tuple[Entry, ...]:
        """Commit the facts as numbers after+1, … of the run, all or none, before it returns.

        A run's first fact takes its ring in the same transaction, its last frees it. Raises Conflict when fact
        after+1 is there already, RingClaimed when another run has the ring, JournalError when nothing was written.
        """

    async def entries(self, run: str, after: int = 0) -> tuple[Entry, ...]:
        """The facts of a run after that number, by default all, in order; empty for an unknown one.

        Raises JournalError, Illegal for a damaged one: what was read before is not read again.
        """

    async def open_runs(self) -> tuple[str, ...]:
        """The runs that have a ring, the oldest first."""

    async def all_runs(self) -> tuple[str, ...]:
        """Every run there is, the oldest first."""

    async def listed(self, most: int | None = None) -> RunList:
        """Every run there is; of those that have ended only what a list shows, of the newest `most`, from an index."""

    async def examine(self, run: str) -> Damaged | None:
        """What is wrong with a run that cannot be read whole, what it claims, who released it.

        None for one that is not there, and for a sound one, unless somebody has released it.
        """

    async def release(self, release: Release) -> None:
        """Write down who releases a run, and free all that it claims, in one transaction.

        Raises Conflict, and changes nothing, when it claims nothing or was released already; JournalError.
        """


class Hosts(Protocol):
    """Runs commands on hosts."""

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        """Run it to its end; an exit status is a value.

        `material` goes to standard input. A change goes in a fence: over that connection and no other. Raises NotRun
        when the command certainly did not run (CameLate and StillRuns when the host refused it at its fence),
        MayHaveRun when its end was not heard (connection lost, time over).
        """

    async def identity(self, host: Host) -> Identity:
        """Who the host answered that it is, when the kept connection to it was opened; opens one if there is none.

        Raises NotRun when there is no connection, or when the host does not say who it is.
        """


class Announcer(Protocol):
    """Shows runs to people, from the journal, in its own time."""

    def wake(self, run: str) -> None:
        """There are new facts of this run to show; returns at once."""

    async def until_posted(self, run: str, seq: int) -> None:
        """Returns when people can see the run up to that fact; wait for it with a bound."""

    def warn(self, run: str, text: str) -> None:
        """Post something in the run's thread that the journal cannot hold now; returns at once, may come to nothing."""

    async def permalink(self, run: str) -> str:
        """Where people can see the run, empty when that is not known."""

    def damaged(self, found: Damaged) -> None:
        """Post in the channel that a run is damaged, or was released; returns at once, is tried until it was posted."""


class Alarms(Protocol):
    """Fires at a date: early never, twice or late perhaps."""

    def set(self, run: str, at: datetime) -> None:
        """Fire for this run at that date, instead of any date set before."""

    def clear(self, run: str) -> None:
        """Do not fire for this run."""

    def on_due(self, call: Callable[[str], Awaitable[None]]) -> None:
        """What to call, with the run's id."""


class Clock(Protocol):
    """The time."""

    def now(self) -> datetime:
        """The time now, aware, UTC."""

    async def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""


class People(Protocol):
    """Who somebody is, and what they may."""

    async def person(self, user: str) -> Person:
        """What is known of this user now (at most 60 s old); somebody unknown is barred, with the reason."""


class Proposals(Protocol):
    """The proposed configurations."""

    async def proposal(self, name: str) -> Proposal:
        """The configuration of that name; raises Refused when there is none, or one that cannot be used."""

    async def names(self) -> Sequence[str]:
        """The names of all that there are, the newest first, whether they can be used or not."""

    async def archive(self, proposal: Proposal, like: str | None = None) -> bytes:
        """It as a tar archive; raises Refused when it is not the same any more (another digest).

        `like`: the configuration in place, as the probe `owned-tree` lists it; each entry then has its owner, group and
        mode by that (see core/readings/ownership.py). Without it all is root's, with the modes that the files have
        here.
        """


@dataclass(frozen=True, kw_only=True)
class Timings:
    """Lengths of time, with their defaults: those above `shown_within` are the settings' to give."""

    drain: timedelta = timedelta(minutes=15)
    approval_open: timedelta = timedelta(minutes=60)
    approval_repeats: tuple[timedelta, ...] = (timedelta(minutes=5), timedelta(minutes=15))
    count_every: timedelta = timedelta(seconds=30)
    watch_every: timedelta = timedelta(seconds=30)
    lists_old: timedelta = timedelta(hours=24)
    """The age from which on a host's package lists are old."""

    shown_within: timedelta = timedelta(seconds=10)
    look_again: timedelta = timedelta(seconds=1)
    patience: timedelta = timedelta(seconds=15)
    """How long a host may be away before a change, or the ring not be as it has to: what passes calls nobody."""

    silence: timedelta = timedelta(minutes=3)
    """The same in the middle of a stage that waits for nobody, and wherever users wait: what passes by itself mostly
    does so sooner."""

    not_after: timedelta = timedelta(seconds=10)
    """How long after its host's clock was read a change may begin there; see engine/looks/sending.py."""

    def patience_with(self, run: Run) -> timedelta:
        """How long a host may be away before a change of this run."""
        return self.silence if run.committed or run.users_wait else self.patience


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Every port of one bot, joined in bootstrap."""

    journal: Journal
    hosts: Hosts
    announcer: Announcer
    alarms: Alarms
    clock: Clock
    people: People
    proposals: Proposals
    timings: Timings
