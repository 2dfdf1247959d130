"""Rings, directors and backends, as the site's settings name them; checked when read, never guessed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.errors import Refused

Name = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
UnitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9@_.-]{1,128}$")]
MailUser = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,254}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Host(_Part):
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


class Director(Host):
    """A Dovecot director of a ring; which one of its members it is, its own row in the ring's status says."""


class Backend(Host):
    """A Dovecot backend: `ip` is the literal address its directors know it by, `vhosts` its usual vhost count."""

    ip: IPv4Address | IPv6Address
    vhosts: int = Field(default=100, ge=1, le=10_000)


class Metacache(_Part):
    """The unit that flushes the metacache when dovecot stops cleanly (Dovecot Pro only)."""

    flush_unit: UnitName = "dovecot-metacache-flush"


class Ring(_Part):
    """A director ring and its backends. `test_user` has mail; a site without object storage has no `metacache`."""

    name: Name
    directors: tuple[Director, ...] = Field(min_length=1)
    backends: tuple[Backend, ...] = Field(min_length=2)
    test_user: MailUser
    metacache: Metacache | None = None
    imap_port: int = Field(default=143, ge=1, le=65535)
    lmtp_port: int = Field(default=24, ge=1, le=65535)

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        _once("ip", [str(backend.ip) for backend in self.backends])
        return self


class Inventory(_Part):
    """All rings of the site."""

    rings: tuple[Ring, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _nothing_twice(self) -> Self:
        _once("ring", [ring.name for ring in self.rings])
        _once("host", [host.name for ring in self.rings for host in (*ring.directors, *ring.backends)])
        return self

    def find(self, backend: str) -> Target:
        """The backend of that name and its ring; raises Refused, naming the backends there are."""
        for ring in self.rings:
            for candidate in ring.backends:
                if candidate.name == backend:
                    return Target(ring=ring, backend=candidate)
        known = ", ".join(candidate.name for ring in self.rings for candidate in ring.backends)
        raise Refused(f"There is no backend {backend!r} in the inventory. There are: {known}.")


class Target(_Part):
    """One backend in its ring: what a run is about."""

    ring: Ring
    backend: Backend

    def host(self, name: str) -> Host:
        """The director or backend of this ring by its name; raises KeyError."""
        return {host.name: host for host in (*self.ring.directors, *self.ring.backends)}[name]


def _once(what: str, names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what} named twice: {', '.join(twice)}")
