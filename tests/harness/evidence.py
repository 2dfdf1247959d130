"""What is left of a played run for the judges: what began on the hosts, and how the ring was at that moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from bot.core.hosts.inventory import Target
from bot.core.plans.plan import Plan
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.practice.ring.ring import PracticeRing
from bot.practice.values import HostLog, Loss, Ran
from tests.chaos.evidence import bare
from tests.harness.network import SENT


@dataclass(frozen=True, kw_only=True)
class Moment:
    """The ring at a moment, by the directors that know it: which backends (by IP) are usable, which have vhosts, which
    have users mapped. `known`: there was such a director. `hanging` and `serving`: directors, backends by their names.
    """

    at: datetime
    usable: frozenset[str]
    given: frozenset[str]
    serving: frozenset[str]
    mapped: frozenset[str]
    hanging: frozenset[str]
    known: bool


@dataclass(frozen=True, kw_only=True)
class Begun:
    """A command that began on a host; `sent` by the bot then, and meant for the host of that name."""

    ran: Ran
    sent: datetime
    meant: str
    moment: Moment

    @property
    def text(self) -> str:
        return bare(self.ran.command)

    @property
    def works(self) -> datetime:
        """When it took effect: on a director that hung when it came, not before that one woke."""
        ran = self.ran
        return ran.finished if ran.host in self.moment.hanging and ran.exit_status == 0 and ran.finished else ran.at


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is known of one played run. `moments` are in order; `struck` is when the attack was."""

    entries: tuple[Entry, ...]
    begun: tuple[Begun, ...]
    moments: tuple[Moment, ...]
    refused: tuple[Ran, ...] = ()
    losses: tuple[Loss, ...] = ()
    struck: datetime | None = None
    outcome: str = ""
    reboots: tuple[datetime, ...] = ()

    @property
    def target(self) -> Target:
        asked = self.entries[0].fact
        assert isinstance(asked, fact.RunRequested)
        return asked.target

    @property
    def target_ip(self) -> str:
        return str(self.target.backend.ip)

    @property
    def followed(self) -> Iterator[tuple[Plan, datetime, datetime]]:
        """Each plan, and from when until when it was followed."""
        asked = self.entries[0].fact
        assert isinstance(asked, fact.RunRequested)
        turned = [(one.fact.plan, one.at) for one in self.entries if isinstance(one.fact, fact.TurnedBack)]
        plans = [(asked.plan, datetime.min.replace(tzinfo=UTC)), *turned]
        ends = [*(at for _, at in turned), datetime.max.replace(tzinfo=UTC)]
        return ((plan, begins, end) for (plan, begins), end in zip(plans, ends, strict=True))


class Watching(list[Ran]):
    """The log of what ran, which also keeps how the ring was when each command began."""

    def __init__(self, ring: PracticeRing) -> None:
        super().__init__()
        self.begun: list[Begun] = []
        self.moments: list[Moment] = []
        self._ring = ring
        ring.hostlog.ran = self
        self.look()

    def append(self, ran: Ran) -> None:
        super().append(ran)
        self._ring.tick()
        self.look()
        sent = SENT.get()
        assert sent is not None
        self.begun.append(Begun(ran=ran, sent=sent.at, meant=sent.meant, moment=self.moments[-1]))

    def look(self) -> None:
        """Keep the ring as it is now."""
        ring = self._ring
        views = [view for view in ring.state.directors.values() if view.knows]
        self.moments.append(
            Moment(
                at=ring.now(),
                usable=frozenset(ip for view in views for ip, seen in view.backends.items() if seen.usable),
                given=frozenset(ip for view in views for ip, seen in view.backends.items() if seen.vhosts),
                serving=frozenset(name for name, one in ring.backends.items() if one.serving),
                mapped=frozenset(mapping.backend for mapping in ring.state.mapped.values()),
                hanging=frozenset(name for name, view in ring.state.directors.items() if view.hanging),
                known=bool(views),
            )
        )


def gathered(
    watching: Watching,
    log: HostLog,
    entries: tuple[Entry, ...],
    *,
    struck: datetime | None,
    reboots: tuple[datetime, ...],
) -> Evidence:
    """Everything, at the end of a play."""
    ended = [one.fact for one in entries if isinstance(one.fact, fact.RunEnded)]
    return Evidence(
        entries=entries,
        begun=tuple(watching.begun),
        moments=tuple(watching.moments),
        refused=tuple(log.refused),
        losses=tuple(log.losses),
        struck=struck,
        outcome=str(ended[0].outcome) if ended else "held",
        reboots=reboots,
    )
