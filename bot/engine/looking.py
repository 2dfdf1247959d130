"""Looks at hosts for the engine: runs the probes of expectations, all at once, and judges what came back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from bot.core.command import Command, Result
from bot.core.events import Ran, Seen
from bot.core.expect import Judgement, Look, judge
from bot.core.hide import hide, shorten
from bot.core.inventory import Host, Target
from bot.core.plan import Expected
from bot.core.probes import PROBES
from bot.core.procedure import Where
from bot.engine.ports import Clock, Hosts, Timings
from bot.errors import HostError, MayHaveRun, Unreadable

_OUTPUT_IN_JOURNAL = 2000
_ATTACHED = 50_000
_LOOKS_AT_LEAST = 3
_LONGEST_PAUSE = timedelta(seconds=2)


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a look at several hosts gave: the judgement, and all that led to it."""

    judgement: Judgement
    looks: tuple[Look, ...]
    ran: tuple[Ran, ...]
    last_output: str = ""

    @property
    def seen(self) -> tuple[Seen, ...]:
        """Every reading."""
        return tuple(seen for look in self.looks for seen in look.seen)

    def remembered(self, names: dict[str, str]) -> dict[str, str]:
        """The readings to be remembered: by name, the field that a probe read."""
        found: dict[str, str] = {}
        for name, field in names.items():
            for seen in self.seen:
                if seen.reading is not None and field in seen.reading:
                    found.setdefault(name, str(seen.reading[field]))
        return found


def hosts_for(target: Target, where: Where) -> tuple[Host, ...]:
    """The hosts of a role; for `one director` all that could be it, in order."""
    return (target.backend,) if where is Where.BACKEND else target.ring.directors


def ran(result: Result, *, changes: bool) -> Ran:
    """A result as the journal keeps it: shortened, secrets hidden."""
    printed = "\n".join(part for part in (result.stdout.rstrip(), result.stderr.rstrip()) if part)
    return Ran(
        host=result.host,
        command=result.command,
        exit_status=result.exit_status,
        took=result.took,
        output=shorten(hide(printed), _OUTPUT_IN_JOURNAL),
        output_bytes=result.stdout_bytes,
        changes=changes,
    )


def unheard(host: Host, command: Command, error: HostError, *, changes: bool) -> Ran:
    """A command whose end was not heard, or that never began, as the journal keeps it."""
    return Ran(
        host=host.name,
        command=command.text,
        exit_status=None,
        took=timedelta(0),
        output=hide(str(error)),
        output_bytes=0,
        changes=changes and isinstance(error, MayHaveRun),
    )


@dataclass(frozen=True, kw_only=True)
class _One:
    seen: Seen
    ran: Ran
    output: str


class Looking:
    """Looks at the hosts of one target."""

    def __init__(self, hosts: Hosts, clock: Clock, timings: Timings, target: Target) -> None:
        self._hosts = hosts
        self._clock = clock
        self._timings = timings
        self._target = target

    async def look(self, expectations: Sequence[Expected]) -> Sight:
        """Look once, everywhere at the same time."""
        groups = await asyncio.gather(*(self._everywhere(expected) for expected in expectations))
        looks = tuple(
            Look(expected=expected, seen=tuple(one.seen for one in ones))
            for expected, ones in zip(expectations, groups, strict=True)
        )
        every = [one for ones in groups for one in ones]
        return Sight(
            judgement=judge(looks),
            looks=looks,
            ran=tuple(dict.fromkeys(one.ran for one in every)),
            last_output=shorten(hide(every[-1].output), _ATTACHED) if every else "",
        )

    async def until_seen(self, expectations: Sequence[Expected], within: timedelta) -> Sight:
        """Look until it holds, as long as `within`; a host that cannot be read is looked at some times in any case."""
        return await self._until(lambda holds: holds is True, expectations, within)

    async def until_known(self, expectations: Sequence[Expected], within: timedelta) -> Sight:
        """Look until it can be said whether it holds, as long as `within`: every host that matters was read."""
        return await self._until(lambda holds: holds is not None, expectations, within)

    async def _until(
        self, enough: Callable[[bool | None], bool], expectations: Sequence[Expected], within: timedelta
    ) -> Sight:
        give_up = self._clock.now() + within
        pause = self._timings.look_again / 8
        looked = 0
        while True:
            sight = await self.look(expectations)
            looked += 1
            unread = sight.judgement.holds is None and looked < _LOOKS_AT_LEAST
            if enough(sight.judgement.holds) or (self._clock.now() >= give_up and not unread):
                return sight
            await self._clock.sleep(pause.total_seconds())
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _everywhere(self, expected: Expected) -> list[_One]:
        hosts = hosts_for(self._target, expected.where)
        if expected.where is not Where.ONE_DIRECTOR:
            return list(await asyncio.gather(*(self._at(host, expected) for host in hosts)))
        for host in hosts:
            one = await self._at(host, expected)
            if one.seen.reading is not None:
                break
        return [one]

    async def _at(self, host: Host, expected: Expected) -> _One:
        probe = PROBES[expected.probe]
        command = probe.command(self._target, expected.asks)
        try:
            result = await self._hosts.run(host, command)
        except HostError as error:
            seen = Seen(host=host.name, probe=probe.name, reading=None, problem=hide(str(error)))
            return _One(seen=seen, ran=unheard(host, command, error, changes=False), output="")
        try:
            reading = {
                key: hide(value) if isinstance(value, str) else value
                for key, value in probe.read(self._target, expected.asks, result).items()
            }
            seen = Seen(host=host.name, probe=probe.name, reading=reading)
        except Unreadable as error:
            seen = Seen(host=host.name, probe=probe.name, reading=None, problem=hide(str(error)))
        return _One(seen=seen, ran=ran(result, changes=False), output=result.stdout)
