"""`doveadm director …` on a pretend director, as of Dovecot 2.3.19.1 (src/doveadm/doveadm-director.c)."""

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

from bot.practice.ring.state import DirectorsState, View
from bot.practice.values import Answer, Call, Now, failed, succeeded

_HOSTS = ("mail server ip", "tag", "vhosts", "state", "state changed", "users")
_RING = (
    *("director ip", "port", "type", "last failed", "status", "ping ms", "input", "output"),
    *("buffered", "buffered peak", "last read", "last write"),
)
_PATIENCE = timedelta(seconds=30)
"""How long doveadm waits for its director, and a director for the ring."""
_LOOKS = timedelta(seconds=0.25)
_USAGE = {
    "status": "[-a <director socket path>] [<user>] [<tag>]",
    "update": "[-a <director socket path>] <host> <vhost count>",
    "up": "[-a <director socket path>] <host>",
    "down": "[-a <director socket path>] <host>",
    "flush": "[-a <director socket path>] [-F] [--max-parallel <n>] <host>|all",
    "ring status": "[-a <director socket path>]",
}


class Directing:
    """doveadm on the director of this name."""

    def __init__(self, name: str, ring: DirectorsState, now: Now) -> None:
        """`now` says the time, aware."""
        self._ring = ring
        self._name = name
        self._now = now

    @property
    def _view(self) -> View:
        return self._ring.directors[self._name]

    async def doveadm(self, call: Call) -> Answer:
        """Exit status 64: usage, 68: no such backend, 75: this director does not answer."""
        match call.args:
            case ("-f", "tab", "director", *argv) | ("director", *argv):
                pass
            case _:
                return failed(64, "usage: doveadm [-Dv] [-f <formatter>] <command> [<args>]")
        if self._view.away:
            return failed(
                75,
                "Fatal: net_connect_unix(/run/dovecot/director-admin) failed: Connection refused",
            )
        if not await self._wait_while(lambda: self._view.hanging):
            # What a director that hangs has in its socket is carried out when it wakes; by then, this was given up.
            return failed(75, "Error: Timeout waiting for a reply from director")
        if argv == ["status"]:
            return _printed(_HOSTS, self._hosts())
        if argv == ["ring", "status"]:
            return _printed(_RING, self._directors())
        answer = self._change(argv)
        return await self._confirmed(argv) if answer.exit_status == 0 else answer

    async def proxied(self, ip: str) -> Answer:
        """How many of its sessions go to this backend, and whose, as core/readings/sessions.py counts them."""
        if self._view.away or not await self._wait_while(lambda: self._view.hanging):
            return failed(3, "Error: connect(/run/dovecot/ipc) failed: Connection refused")
        sessions = self._ring.proxied(self._name)
        there = [user for user, backend in sessions.items() if backend == ip]
        return succeeded("\n".join([f"sessions {len(there)} of {len(sessions)}", *there, ""]))

    async def _confirmed(self, argv: list[str]) -> Answer:
        """A change is answered when the ring is synced; a flush when it has begun."""
        now = self._now()
        # With a director just gone, not before it is given up.
        await asyncio.sleep(max(0.0, (self._ring.waits_until(now) - now).total_seconds()))
        if argv[0] in {"update", "up", "down"} and not await self._wait_while(self._unsynced):
            return failed(75, "Error: Ring sync timed out")
        return Answer()

    def _unsynced(self) -> bool:
        return self._ring.unsynced_since is not None

    async def _wait_while(self, holds: Callable[[], bool]) -> bool:
        """Whether it ended within the time that doveadm waits."""
        give_up = self._now() + _PATIENCE
        while holds():
            if self._now() >= give_up:
                return False
            await asyncio.sleep(_LOOKS.total_seconds())
        return True

    def _change(self, argv: list[str]) -> Answer:
        now = self._now()
        match argv:
            case ["update", ip, vhosts] if vhosts.isdecimal() and not ip.isdecimal():
                return self._on(ip, lambda: self._ring.change(ip, now=now, vhosts=int(vhosts)), unknown=75)
            case ["up", ip]:
                return self._on(ip, lambda: self._ring.change(ip, now=now, up=True))
            case ["down", ip]:
                return self._on(ip, lambda: self._ring.change(ip, now=now, up=False))
            case ["flush", ip] if not ip.startswith("-"):
                return self._on(ip, lambda: self._ring.flush(ip, now), level="Warning")
            case [verb, *_] if verb in _USAGE:
                return failed(64, f"doveadm director {verb} {_USAGE[verb]}")
            case _:
                return failed(64, *(f"doveadm director {verb} {usage}" for verb, usage in _USAGE.items()))

    def _on(self, ip: str, act: Callable[[], None], *, level: str = "Error", unknown: int = 68) -> Answer:
        try:
            ipaddress.ip_address(ip)
        except ValueError:
            return failed(75, f"Error: gethostname({ip}) failed: Name or service not known")
        if ip not in self._view.backends:
            return failed(unknown, f"{level}: {ip}: doesn't exist")
        act()
        return Answer()

    def _hosts(self) -> Iterator[tuple[str, ...]]:
        for ip, seen in self._view.backends.items():
            users = str(self._ring.users(self._view, ip))
            yield ip, seen.tag, str(seen.vhosts), "up" if seen.up else "down", _stamp(seen.changed, "-"), users

    def _directors(self) -> Iterator[tuple[str, ...]]:
        """The director itself, its neighbours to the left and right (with two directors: the same), the others."""
        names = list(self._ring.directors)
        here = names.index(self._name)
        for name, view in self._ring.directors.items():
            types = [""]
            if view is self._view:
                types = ["self"]
            elif not view.away:
                sides = {"left": names[here - 1], "right": names[(here + 1) % len(names)]}
                types = [side for side, neighbour in sides.items() if neighbour == name] or [""]
            for kind in types:
                yield view.ip, "9090", kind, self._failed(view), self._status(view, kind), *self._traffic(kind)

    def _failed(self, view: View) -> str:
        given_up = view.failed is not None and view.failed <= self._now()
        return _stamp(view.failed if given_up else None, "never")

    def _traffic(self, kind: str) -> tuple[str, ...]:
        """From `ping ms` on: what has gone over a connection, if there is one."""
        now = _stamp(self._now(), "-")
        match kind:
            case "":
                return ("-",) * 7
            case "self":
                return ("0", *("-",) * 6)
            case _:
                return ("0", "384", "109", "0", "18", now, now)

    def _status(self, view: View, kind: str) -> str:
        if kind == "":
            return ""
        if kind == "self":
            return self._own_status(view, self._now())
        return "synced" if view.knows or view.hanging else "handshaking - 0 USERs sent"

    def _own_status(self, view: View, now: datetime) -> str:
        unsynced = self._ring.unsynced_since
        if view.knows and self._ring.waits_until(now) <= now and unsynced is None:
            return "ring synced"
        since = max((each.restarted for each in self._ring.directors.values() if each.restarted), default=now)
        since = since if unsynced is None else unsynced
        return f"ring syncing - last sync {int((now - since).total_seconds())} secs ago"


def _stamp(moment: datetime | None, never: str) -> str:
    """A time as doveadm prints it, in the host's zone, which here is UTC."""
    return never if moment is None else moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def _printed(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> Answer:
    return succeeded("".join("\t".join(row) + "\n" for row in (columns, *rows)))
