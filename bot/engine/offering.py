"""What can be asked for, as a form shows it: each backend with how it stands now, and the configurations there are.

It only looks, and not for long: what a ring does not say soon is not known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.core.hosts.inventory import Inventory, Ring, Target
from bot.core.plans.procedure import Need
from bot.core.readings.outputs import listed_hosts
from bot.core.readings.probes import PROBES
from bot.engine.bringing import Brought
from bot.engine.ports import Hosts
from bot.errors import HostError, Unreadable

_WITHIN = 3.0
"""Seconds that a ring has to say how its backends stand; somebody waits."""


@dataclass(frozen=True, kw_only=True)
class Offered:
    """A backend, and how it stands, in a few words."""

    backend: str
    state: str


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What can be asked for behind one slash command: the backends by their rings, configurations the newest first."""

    rings: Mapping[str, tuple[Offered, ...]]
    configs: Sequence[str]
    takes: Sequence[Need]
    requires: Sequence[str]


async def standing(inventory: Inventory, hosts: Hosts, claimed: Mapping[str, str]) -> dict[str, tuple[Offered, ...]]:
    """How every backend stands; `claimed`: by ring, the run that has it, which is all that counts there."""
    rings, reading = inventory.rings, asyncio.Lock()
    states = await asyncio.gather(*(_states(ring, hosts, claimed.get(ring.name, ""), reading) for ring in rings))
    return {ring.name: offered for ring, offered in zip(rings, states, strict=True)}


async def _states(ring: Ring, hosts: Hosts, claimed: str, reading: asyncio.Lock) -> tuple[Offered, ...]:
    states: dict[str, str] = {}
    if not claimed:
        try:
            async with asyncio.timeout(_WITHIN):
                states = await _read(ring, hosts, reading)
        except TimeoutError:
            pass
    other = f"its ring is claimed by run {claimed}" if claimed else "not known now"
    return tuple(Offered(backend=one.name, state=states.get(one.name, other)) for one in ring.backends)


async def _read(ring: Ring, hosts: Hosts, reading: asyncio.Lock) -> dict[str, str]:
    """By backend, as the first director that answers has it; without those that it does not list."""
    command = PROBES["director-hosts"].command(Target(ring=ring, backend=ring.backends[0]), {})
    for director in ring.directors:
        try:
            result = await hosts.run(director, command)
            async with reading:
                await asyncio.sleep(0)  # where many rings answer at once, others have their turn between any two
                listed = listed_hosts(result)
        except (HostError, Unreadable):
            continue
        known = [(one.name, listed[str(one.ip)]) for one in ring.backends if str(one.ip) in listed]
        if known:
            return {name: f"{now['state']}, vhosts {now['vhosts']}, {now['users']} users" for name, now in known}
    return {}


def brought_in_lines(brought: Brought) -> tuple[str, ...]:
    """What a run would bring, a line each: packages of one change together, and files, not their lines."""
    changes: dict[tuple[str, str], list[str]] = {}
    for one in brought.packages:
        if one.version != one.before:
            changes.setdefault((one.before or "not installed", one.version), []).append(one.name)
    lines = [
        f"{names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {before} → {after}"
        for (before, after), names in changes.items()
    ]
    if brought.proposal:
        lines.append(f"{brought.proposal.name}: files {brought.files}")
    return tuple(lines)
