"""What the settings say now of the hosts of an open run: how they are reached, and what else differs.

A run was approved for its hosts, not for how they are reached: that follows the settings. Who belongs to the ring, and
what the ring needs, stays as when it was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import MappingProxyType
from typing import TypeVar

from bot.core.hosts.inventory import Access, Backend, Host, Inventory, Ring, Target, mistakes

H = TypeVar("H", bound=Host)

_OF_A_PLAN = frozenset({"name", "directors", "backends", "proposed", "take_down"})
"""What of a ring is told apart by itself, or was decided when the plan was made."""


@dataclass(frozen=True, kw_only=True)
class Since:
    """By name, the directors and backends that are reached otherwise now; and what else differs, in words."""

    directors: Mapping[str, Access] = field(default_factory=dict)
    backends: Mapping[str, Access] = field(default_factory=dict)
    stays: tuple[str, ...] = ()


def reached(target: Target, accesses: Mapping[str, Access]) -> Target:
    """The target with these hosts reached so."""

    def host(one: H) -> H:
        access = accesses.get(one.name)
        return one if access is None else one.model_copy(update=access.model_dump())

    ring = target.ring.model_copy(
        update={
            "directors": tuple(host(one) for one in target.ring.directors),
            "backends": tuple(host(one) for one in target.ring.backends),
        }
    )
    return Target(ring=ring, backend=host(target.backend))


def since(
    target: Target, inventory: Inventory, *, machine_id: str | None, claimed: Mapping[str, str] = MappingProxyType({})
) -> Since:
    """What the settings say now of a target that a run was asked for on.

    `machine_id`: of the machine that the backend proved to be, which the run stays on; empty where nothing is proved
    yet, None where its directors were not proved either, though it is past that (an older version). `claimed`: the
    directors, by name, that another run reaches by the ssh name of now, and its id.
    """
    ring = _now(target, inventory)
    if ring is None:
        return Since(stays=(f"no ring has {target.backend.name} ({target.backend.ip}) any more",))
    stays = list(_differences(target, ring))
    own = next((one for one in ring.backends if one.name == target.backend.name), target.backend)
    if machine_id and Access.of(own) != Access.of(target.backend):
        if own.machine_id != machine_id and (own.machine_id or target.backend.machine_id):
            is_ = own.machine_id or "not set"
            stays.append(f"machine_id of {own.name} is {is_}, and this run is on the machine {machine_id}")
        # Its address alone would prove a machine that has replaced it, too.
        own = own.model_copy(update={"machine_id": machine_id})
    directors = _reached_otherwise(target.ring.directors, ring.directors)
    for name in [name for name in directors if name in claimed]:
        by = f"ssh {directors.pop(name).ssh} is claimed by run {claimed[name]}"
        stays.append(f"{name} is reached as before, as {by} (once that has ended, start the bot anew)")
    backends = _reached_otherwise(target.ring.backends, [own if one.name == own.name else one for one in ring.backends])
    if (directors or backends) and (why := _unsafe(target, {**directors, **backends}, machine_id)):
        return Since(stays=(*stays, f"hosts are reached as before, as {why}"))
    return Since(directors=directors, backends=backends, stays=tuple(stays))


def _now(target: Target, inventory: Inventory) -> Ring | None:
    """The ring as the settings have it now: that with the run's backend, else that of its name."""
    own = target.backend
    having = [ring for ring in inventory.rings if (own.name, own.ip) in {(one.name, one.ip) for one in ring.backends}]
    named = [ring for ring in inventory.rings if ring.name == target.ring.name]
    return next(chain(having, named), None)


def _reached_otherwise(then: Sequence[Host], now: Sequence[Host]) -> dict[str, Access]:
    """Of the hosts that are the same ones: those that are reached otherwise; another address is another backend."""
    was = {_who(host): Access.of(host) for host in then}
    return {host.name: access for host in now if (access := Access.of(host)) != was.get(_who(host), access)}


def _who(host: Host) -> tuple[object, ...]:
    return (host.name, host.ip) if isinstance(host, Backend) else (host.name,)


def _unsafe(target: Target, accesses: Mapping[str, Access], machine_id: str | None) -> str:
    """Why its hosts may not be reached so, empty where they may: two of them would be one machine, or unproved."""
    if machine_id is None:
        return "it began without a proof of which member of the ring each director is"
    before = mistakes((target.ring,))
    return "; ".join(one for one in mistakes((reached(target, accesses).ring,)) if one not in before)


def _differences(target: Target, now: Ring) -> Iterator[str]:
    then = target.ring
    if now.name != then.name:
        yield f"the ring is named {now.name}, and {then.name} for this run"
    for role, before, after in (
        ("directors", then.directors, now.directors),
        ("backends", then.backends, now.backends),
    ):
        were, are = ([host.name for host in hosts] for hosts in (before, after))
        yield from (f"{name} was added to the {role}" for name in are if name not in were)
        yield from (f"{name} was taken out of the {role}" for name in were if name not in are)
    known = {one.name: one for one in then.backends}
    for one in now.backends:
        yield from _of_a_backend(one, known.get(one.name, one))
    for key in sorted(set(Ring.model_fields) - _OF_A_PLAN):
        is_, was = getattr(now, key), getattr(then, key)
        if is_ != was:
            yield f"{key} is {is_ or 'not set'}, and {was or 'not set'} for this run"


def _of_a_backend(now: Backend, then: Backend) -> Iterator[str]:
    for key in ("ip", "vhosts"):
        is_, was = getattr(now, key), getattr(then, key)
        if is_ != was:
            yield f"{key} of {now.name} is {is_}, and {was} for this run"
