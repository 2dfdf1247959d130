"""What a look at several hosts gives, and commands as the journal keeps them: shortened, secrets hidden.

It must not know how hosts are looked at (looking.py does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Host, Target
from bot.core.plans.plan import Expected
from bot.core.plans.procedure import Where
from bot.core.readings.expect import Look, Verdict, judge
from bot.core.runs.events import Ran, Seen, UsersCounted
from bot.core.runs.run import Run
from bot.core.text.redact import redact, redact_ends
from bot.errors import HostError, MayHaveRun

OUTPUT_RECORDED = 2000
"""Characters of a command's output that the journal keeps."""


@dataclass(frozen=True, kw_only=True)
class Observation:
    """What a look at several hosts gave: the verdict, and all that led to it."""

    verdict: Verdict
    looks: tuple[Look, ...]
    ran: tuple[Ran, ...]
    connections: Mapping[str, str] = field(default_factory=dict)
    """By host, the connection that all of this look went over; a host that was looked at over two is not here."""
    last_output: Callable[[], str] = field(default=str, repr=False, compare=False)
    """Makes what people are shown of what was printed last, secrets hidden."""

    def part(self, expectations: Sequence[Expected]) -> Observation:
        """The same look, judged by these of its expectations alone."""
        looks = tuple(look for look in self.looks if look.expected in expectations)
        return replace(self, verdict=judge(looks), looks=looks)

    @property
    def seen(self) -> tuple[Seen, ...]:
        """Every reading."""
        return tuple(seen for look in self.looks for seen in look.seen)

    def remembered(self, names: Mapping[str, str]) -> dict[str, str]:
        """The readings to be remembered: by name, the field that a probe read."""
        found: dict[str, str] = {}
        for name, key in names.items():
            for seen in self.seen:
                if seen.reading is not None and key in seen.reading:
                    found.setdefault(name, str(seen.reading[key]))
        return found


def hosts_for(target: Target, where: Where) -> tuple[Host, ...]:
    """The hosts of a role; for `one director` all that could be it, in order."""
    return (target.backend,) if where is Where.BACKEND else target.ring.directors


def ran_of(result: Result, *, changes: bool, output: str | None = None) -> Ran:
    """A result as the journal keeps it: shortened, secrets hidden; `output`: what is kept of what it printed."""
    printed = "\n".join(part for part in (result.stdout.rstrip(), result.stderr.rstrip()) if part)
    return Ran(
        host=result.host,
        command=result.command,
        exit_status=result.exit_status,
        took=result.took,
        output=redact_ends(printed, OUTPUT_RECORDED) if output is None else output,
        output_bytes=result.stdout_bytes,
        changes=changes,
    )


def ran_without_end(host: Host, command: Command, error: HostError, *, changes: bool) -> Ran:
    """A command whose end was not heard, or that never began, as the journal keeps it."""
    return Ran(
        host=host.name,
        command=command.text,
        exit_status=None,
        took=timedelta(0),
        output=redact(str(error)),
        output_bytes=0,
        changes=changes and isinstance(error, MayHaveRun),
    )


def still_running(host: Host, command: Command) -> Ran:
    """A change whose end was not heard while it was looked beside it."""
    unheard = f"{host.name}: its end was not heard while it was looked whether it is done; it may still run there"
    return ran_without_end(host, command, MayHaveRun(unheard), changes=True)


def users_counted(run: Run, seen: Sequence[Seen]) -> tuple[UsersCounted, ...]:
    """The users mapped to the backend by each director that was read, if that is another number than the last."""
    users = {one.host: int(one.reading["users"]) for one in seen if one.reading is not None and "users" in one.reading}
    return (UsersCounted(users=users),) if users and users != run.ring.users else ()
