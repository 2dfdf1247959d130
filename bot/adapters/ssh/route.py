"""Routes to hosts by the names that OpenSSH's configuration knows them by. Must not know how they are connected."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Route:
    """A host by the name that OpenSSH's configuration knows it by. `via`: through this one, whatever is configured."""

    host: str
    port: int | None = None
    user: str | None = None
    via: Route | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What goes before the configuration."""
        given = {"host": self.host, "port": self.port, "username": self.user}
        return {key: value for key, value in given.items() if value is not None}


def jump_of(route: Route, configured: object) -> Route | None:
    """The last host before this one; a host that is named as its own jump host is reached directly."""
    if route.via is not None:
        return route.via
    jump = None
    for hop in str(configured or "").split(","):
        user, _, address = hop.strip().rpartition("@")
        host, port = _split(address.removeprefix("ssh://"))
        if host and host != route.host:
            jump = Route(host=host, port=port, user=user.removeprefix("ssh://") or None, via=jump)
    return jump


def _split(address: str) -> tuple[str, int | None]:
    """HOST, HOST:PORT, [IPV6]:PORT or an IPv6 address alone."""
    host, colon, port = address.rpartition(":")
    if colon and port.isdigit() and (host.startswith("[") or ":" not in host):
        return host.strip("[]"), int(port)
    return address.strip("[]"), None
