"""Reads what hosts answer in one look: each answer once for each probe, and a long one in a thread of its own.

It must not know which hosts are asked, nor what is expected of a reading.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from bot.core.hosts.command import OUTPUT_KEPT, Result
from bot.core.hosts.inventory import Host, Target
from bot.core.plans.plan import Expected
from bot.core.readings.probe import Probe
from bot.core.readings.probes import PROBES
from bot.core.runs.events import Ran, Seen
from bot.core.text.redact import redact, redact_ends
from bot.engine.looks.asking import AskHost
from bot.engine.looks.observation import OUTPUT_RECORDED, ran_of, ran_without_end
from bot.errors import HostError, Unreadable

LONG = OUTPUT_KEPT
"""Characters that are read in a thread, as the list of twenty thousand files would keep all other runs waiting.

What usual commands print is shorter; it takes some milliseconds, and a thread would take longer to be waited for.
"""

_ATTACHED = 50_000


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came of one question to one host."""

    seen: Seen
    ran: Ran
    output: Callable[[], str] = field(repr=False, compare=False)
    """What people are shown of it, secrets hidden; made when it is asked for, as it seldom is."""
    connection: str = ""


At = Callable[[Host, Expected], Coroutine[Any, Any, Answer]]

_Key = tuple[str, str, frozenset[tuple[str, str]]]


class Readings:
    """The answers of one look to what is asked through `ask`, as they were read."""

    def __init__(self, target: Target, ask: AskHost) -> None:
        self._target = target
        self._ask = ask
        self._read: dict[_Key, tuple[Result, Answer]] = {}
        self._reads: dict[_Key, asyncio.Lock] = {}

    async def at(self, host: Host, expected: Expected) -> Answer:
        """What this host answers to the probe of an expectation; an answer that was read already is not read again."""
        probe = PROBES[expected.probe]
        try:
            result = await self._ask(host, probe.command(self._target, expected.asks))
        except HostError as error:
            return unanswered(self._target, host, expected, error)
        # A reading depends on the probe's parameters alone; the other values are what it is compared with.
        named = probe.parameters | probe.optional
        given = frozenset((name, str(value)) for name, value in expected.asks.items() if name in named)
        key = (host.name, probe.name, given)
        async with self._reads.setdefault(key, asyncio.Lock()):
            kept = self._read.get(key)
            if kept is None or kept[0] is not result:
                read = (self._target, host, probe, expected, result)
                answer = await asyncio.to_thread(_answer, *read) if _is_long(expected, result) else _answer(*read)
                self._read[key] = kept = (result, answer)
            return kept[1]


def unanswered(target: Target, host: Host, expected: Expected, error: HostError) -> Answer:
    """What came of a question that was not answered, or not asked."""
    command = PROBES[expected.probe].command(target, expected.asks)
    seen = Seen(host=host.name, probe=expected.probe, reading=None, problem=redact(str(error)))
    return Answer(seen=seen, ran=ran_without_end(host, command, error, changes=False), output=str)


def _is_long(expected: Expected, result: Result) -> bool:
    """The answer, or what it is compared with."""
    given = sum(len(value) for value in expected.asks.values() if isinstance(value, str))
    return len(result.stdout) + len(result.stderr) + given > LONG


def _answer(target: Target, host: Host, probe: Probe, expected: Expected, result: Result) -> Answer:
    try:
        reading = {
            key: redact(value, whole=key in probe.whole)
            if isinstance(value, str) and key not in probe.hidden
            else value
            for key, value in probe.read(target, expected.asks, result).items()
        }
        seen = Seen(host=host.name, probe=probe.name, reading=reading)
        shown = probe.shows(expected.asks, result) if probe.shows else None
    except Unreadable as error:
        seen = Seen(host=host.name, probe=probe.name, reading=None, problem=redact(str(error)))
        shown = (redact(result.stderr)[:OUTPUT_RECORDED], "") if probe.shows else None
    looked = ran_of(result, changes=False) if shown is None else ran_of(result, changes=False, output=shown[0])

    def whole() -> str:
        return redact_ends(result.stdout, _ATTACHED) if shown is None else shown[1]

    return Answer(seen=seen, ran=looked, output=whole, connection=result.connection)
