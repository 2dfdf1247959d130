"""Rings, directors and backends, as the site's settings name them; checked when read, never guessed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address
from itertools import combinations
from typing import Annotated, Self

from pydantic import Field, model_validator

from bot.core.text.meant import near
from bot.core.text.strict import Strict
from bot.errors import Refused

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
UnitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9@_.-]{1,128}$")]
MailUser = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,254}$")]


class Host(Strict):
    """A machine the bot reaches over SSH.

    `ssh` is the name that OpenSSH's configuration knows it by (its own name unless said otherwise). With `sudo`,
    commands that need root are run through `sudo -n`. `machine_id` is its /etc/machine-id, for a host that cannot prove
    by an address who it is.
    """

    name: Name
    ssh: str = Field(default="", pattern=r"^[A-Za-z0-9._:-]*$")
    sudo: bool = False
    machine_id: str = Field(default="", pattern=r"^([0-9a-f]{32})?$")

    @property
    def address(self) -> str:
        """The name given to OpenSSH's configuration."""
        return self.ssh or self.name


class Access(Strict):
    """How a host is reached and proves who it is, as of Host; `ssh` is its address there."""

    ssh: str
    sudo: bool
    machine_id: str

    @classmethod
    def of(cls, host: Host) -> Self:
        """How this host is reached."""
        return cls(ssh=host.address, sudo=host.sudo, machine_id=host.machine_id)


class Director(Host):
    """A Dovecot director of a ring; which one of its members it is, its own row in the ring's status says."""


class Backend(Host):
    """A Dovecot backend: `ip` is the literal address its directors know it by, `vhosts` its usual vhost count."""

    ip: IPv4Address | IPv6Address
    vhosts: int = Field(default=100, ge=1, le=10_000)


class Metacache(Strict):
    """The unit that flushes the metacache when dovecot stops cleanly (Dovecot Pro only)."""

    flush_unit: UnitName = "dovecot-metacache-flush"


class TakeDown(StrEnum):
    """The order in which a backend is taken down: its users are moved while it still serves, or once it is stopped."""

    MOVE_FIRST = "move-first"
    RUNBOOK = "runbook"


class Ring(Strict):
    """A director ring and its backends; where directors know tags, those of one tag.

    `proposed` is the configuration that a run brings its backends to unless told otherwise, by its name.
    `test_user` has mail; a site without object storage has no `metacache`. `usable_others`: so many other backends must
    be usable while one is out. `take_down`: see deploy/README.md; None: the runbook's where there is a metacache.
    """

    name: Name
    directors: tuple[Director, ...] = Field(min_length=1)
    backends: tuple[Backend, ...] = Field(min_length=2)
    test_user: MailUser
    metacache: Metacache | None = None
    usable_others: int = Field(default=1, ge=1)
    take_down: TakeDown | None = None
    proposed: str | None = Field(default=None, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}$")
    imap_port: int = Field(default=143, ge=1, le=65535)
    lmtp_port: int = Field(default=24, ge=1, le=65535)

    @property
    def moves_first(self) -> bool:
        """Whether users are moved before anything stops."""
        usual = TakeDown.RUNBOOK if self.metacache else TakeDown.MOVE_FIRST
        return (self.take_down or usual) is TakeDown.MOVE_FIRST

    @property
    def hosts(self) -> tuple[Host, ...]:
        """Its directors and backends."""
        return (*self.directors, *self.backends)

    @model_validator(mode="after")
    def _others_are_there(self) -> Self:
        others = len(self.backends) - 1
        if self.usable_others > others:
            there = "there is 1 other backend" if others == 1 else f"there are {others} other backends"
            raise ValueError(f"usable_others is {self.usable_others}, and while one is out {there}")
        return self


class Inventory(Strict):
    """All rings of the site, as its settings name them now."""

    rings: tuple[Ring, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        if found := mistakes(self.rings):
            raise ValueError("; ".join(found))
        return self

    def find(self, backend: str) -> Target:
        """The backend of that name and its ring; raises Refused, naming the backends there are."""
        for ring in self.rings:
            for candidate in ring.backends:
                if candidate.name == backend:
                    return Target(ring=ring, backend=candidate)
        meant = near(backend, self.backends)
        instead = f"Did you mean {meant}? " if meant else ""
        raise Refused(
            f"There is no backend {backend!r} in the inventory. {instead}There are: {', '.join(self.backends)}."
        )

    @property
    def backends(self) -> tuple[str, ...]:
        """The names of all backends."""
        return tuple(backend.name for ring in self.rings for backend in ring.backends)


class Target(Strict):
    """One backend in its ring: what a run is about."""

    ring: Ring
    backend: Backend

    def host(self, name: str) -> Host:
        """The director or backend of this ring by its name; raises KeyError."""
        return {host.name: host for host in self.ring.hosts}[name]


def mistakes(rings: Sequence[Ring]) -> tuple[str, ...]:
    """Names that mean two hosts, and hosts that are one machine.

    For settings only: a run that an older version of the bot allowed has its ring in the journal, and stays readable.
    """
    found = [f"ring named twice: {name}" for name in _twice(ring.name for ring in rings)]
    for ring in rings:
        found += [f"ring {ring.name}: {what}" for what in _in_one(ring)]
    for one, other in combinations(rings, 2):
        found += _in_two(one, other)
    return tuple(dict.fromkeys(found))


def _in_one(ring: Ring) -> Iterator[str]:
    yield from (f"host named twice: {name}" for name in _twice(host.name for host in ring.hosts))
    if ring.metacache and ring.metacache.flush_unit.removesuffix(".service") == "dovecot":
        yield "metacache.flush_unit is dovecot's own unit: each of its stops would look like a flush"
    if ring.imap_port == ring.lmtp_port:
        yield f"imap_port and lmtp_port are both {ring.imap_port}: the greeting of one would prove the other"
    for one, other in combinations(ring.hosts, 2):
        if one.name != other.name:
            yield from (f"{one.name} and {other.name} share {what}" for what in _shared(one, other))


def _shared(one: Host, other: Host) -> Iterator[str]:
    if isinstance(one, Backend) and isinstance(other, Backend) and _plain(one.ip) == _plain(other.ip):
        yield f"ip {_plain(one.ip)}"
    yield from _machine(one, other)


def _machine(one: Host, other: Host) -> Iterator[str]:
    """By what two hosts are one machine."""
    if one.address.lower() == other.address.lower():
        yield f"ssh {one.address.lower()}"
    if one.machine_id and one.machine_id == other.machine_id:
        yield f"machine_id {one.machine_id}"


def _plain(ip: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    return getattr(ip, "ipv4_mapped", None) or ip


def _in_two(one: Ring, other: Ring) -> Iterator[str]:
    """A director may stand in two rings of the settings: its backends are told apart by their tags."""
    where = f"in ring {one.name} and in ring {other.name}"
    for first in one.hosts:
        for second in other.hosts:
            if first.name != second.name:
                yield from (f"{first.name} and {second.name} share {what}, {where}" for what in _machine(first, second))
            elif not (isinstance(first, Director) and isinstance(second, Director)):
                yield f"host named twice: {first.name}, {where}"
            elif differs := _differences(first, one, second, other):
                yield f"{first.name} is not the same in two rings: {', and '.join(differs)}"


def _differences(first: Host, one: Ring, second: Host, other: Ring) -> list[str]:
    values = {
        "ssh": (first.address, second.address),
        "sudo": tuple("yes" if host.sudo else "no" for host in (first, second)),
        "machine_id": (first.machine_id or "not set", second.machine_id or "not set"),
    }
    return [f"{what} {a} in ring {one.name}, {b} in ring {other.name}" for what, (a, b) in values.items() if a != b]


def _twice(names: Iterable[str]) -> list[str]:
    listed = list(names)
    return sorted({name for name in listed if listed.count(name) > 1})
