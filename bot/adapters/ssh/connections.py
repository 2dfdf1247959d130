"""Connections that are kept while they are used: one per host, through jump hosts where OpenSSH's config says so.

Host keys are always verified.

It must not know which commands run over them. Three habits of asyncssh are turned off here: `UserKnownHostsFile none`
turns its verification off (here as for OpenSSH: no file, so nothing is known); a jump host that it opens itself gets
none of these options, so each is opened here; and a key exchange by GSSAPI would look at no host key at all.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh

from bot.adapters.ssh.configuration import Configuration, Configured, Unreached
from bot.adapters.ssh.connection import Connection
from bot.adapters.ssh.errors import FOREIGN, Shown, explained, key_refused
from bot.adapters.ssh.route import Route
from bot.engine.ports import Clock

_KEEPALIVES_MISSED = 2
"""asyncssh gives a peer up when this many are unanswered and one more is due: after three intervals."""

UNACKNOWLEDGED = timedelta(seconds=7)
"""How long the kernel tries to bring something to a host. Shorter than a change may take to begin, which is some ten
seconds by the host's clock (its fence's `not_after`): what is given up here does then not lie in our buffers, to arrive
later. The fence is for what lies in the network's. Behind a jump host or a ProxyCommand another kernel tries, and only
the fence helps.
"""

IDLE = timedelta(minutes=30)
"""How long nothing has run over a connection that is closed: else those of a few hundred hosts would use up the bot's
file descriptors, and each keep a process of its host's sshd.

Many times as long as any look, fence or way through a jump host takes: what a change was decided on still is there when
it goes, as looking at it was using it. And longer than a drain, so that what follows one does not wait for a new one.
"""

_PROBES = {"TCP_KEEPIDLE": 3, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 2}
"""How the kernel finds out that a peer is gone while nothing is sent: in seconds, and tries; within the same time."""


@dataclass
class _Pooled:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: Connection | None = None


class Connections:
    """The connections that there are, and how to make one."""

    def __init__(
        self,
        config: Sequence[Path],
        known_hosts: Path | None,
        connect_timeout: timedelta,
        keepalive: timedelta,
        clock: Clock,
    ) -> None:
        self._known = _Known()
        self._patience = connect_timeout.total_seconds()
        self._connections: dict[Route, _Pooled] = {}
        self._closed = False
        self._clock = clock
        self._closes_idle: asyncio.Task[None] | None = None
        self._fixed: dict[str, Any] = {
            "config": [str(path.expanduser()) for path in config],
            "keepalive_interval": keepalive.total_seconds(),
            "keepalive_count_max": _KEEPALIVES_MISSED,
            "connect_timeout": None,  # ours counts the whole way, jump hosts included
            "gss_kex": False,
            "x509_trusted_certs": None,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "request_pty": False,
            "env": None,
            "send_env": None,
            "command": None,
        }
        self._configuration = Configuration(self._fixed, known_hosts, self._patience)

    def live(self, name: str) -> Connection | None:
        """The connection to a host that there is, if it lives."""
        pooled = self._connections.get(Route(host=name))
        return pooled.connection if pooled and pooled.connection and pooled.connection.alive else None

    async def to(self, name: str) -> Connection:
        """The connection to a host, the kept one if it lives; raises Unreached."""
        if live := self.live(name):
            return live
        # Before the clock starts: it is the host's time, not ours.
        host = await self._configuration.of(Route(host=name))
        try:
            async with asyncio.timeout(self._patience):
                return await self._pooled(host, ())
        except TimeoutError as error:
            raise Unreached(explained(error, host.where)) from error

    async def close(self) -> None:
        """Close every connection, and make no new one."""
        self._closed = True
        if self._closes_idle is not None:
            self._closes_idle.cancel()
            await asyncio.wait({self._closes_idle})
        connections = [pooled.connection.ssh for pooled in self._connections.values() if pooled.connection is not None]
        for connection in connections:
            connection.close()
        await asyncio.gather(*(connection.wait_closed() for connection in connections))

    async def _close_the_idle(self) -> None:
        while True:
            await self._clock.sleep(IDLE.total_seconds() / 4)
            kept = [(pooled, pooled.connection) for pooled in self._connections.values() if pooled.connection]
            carry = [connection.through for _, connection in kept if connection.alive]
            for pooled, connection in kept:
                if connection not in carry and connection.idle(IDLE):
                    pooled.connection = None  # first: asyncssh says some turns of the loop later that it is closed
                    connection.ssh.close()

    async def _pooled(self, host: Configured, before: tuple[Route, ...]) -> Connection:
        route = host.route
        if route in before:
            raise Unreached(
                f"{route.host}: ProxyJump in the SSH config goes round in a circle. What to do: correct it."
            )
        pooled = self._connections.setdefault(route, _Pooled())
        async with pooled.lock:  # whoever waits here finds the connection that the first has made
            if pooled.connection is None or not pooled.connection.alive:
                pooled.connection = await self._connect(host, (*before, route))
            return pooled.connection

    async def _connect(self, host: Configured, before: tuple[Route, ...]) -> Connection:
        witness = _Witness()
        try:
            witness.known = await asyncio.to_thread(self._known.of, host.known_hosts)
            jump = await self._pooled(await self._configuration.of(host.jump), before) if host.jump else None
            if jump is not None:
                jump.use()
            ssh = await asyncssh.connect(
                **self._fixed | host.route.options | host.read,
                tunnel=jump.ssh if jump else None,
                known_hosts=witness.known,
                client_factory=lambda: witness,
            )
        except asyncssh.HostKeyNotVerifiable as error:
            text = key_refused(witness.shown, host.where) if witness.shown else explained(error, host.where)
            raise Unreached(text) from error
        except FOREIGN as error:
            raise Unreached(explained(error, host.where)) from error
        if self._closed:
            ssh.abort()
            raise Unreached(f"{host.where}: the bot is stopping")
        self._closes_idle = self._closes_idle or asyncio.create_task(self._close_the_idle())
        name = f"{host.route.host}#{secrets.token_hex(6)}"
        return Connection(name=name, ssh=ssh, clock=self._clock, through=jump)


class _Witness(asyncssh.SSHClient):
    """What asyncssh reports while a connection is made: that it is there, and a host key that it does not trust.

    The key is remembered for the message, and the answer is no.
    """

    def __init__(self) -> None:
        self.known = asyncssh.SSHKnownHosts()
        self.shown: Shown | None = None

    def connection_made(self, conn: asyncssh.SSHClientConnection) -> None:
        """Have the kernel give up what nobody acknowledges, as far as this system can, from the first byte on."""
        tcp = conn.get_extra_info(
            "socket"
        )  # behind a jump host that one's, which has all this; None for a ProxyCommand
        if tcp is None:
            return
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in {**_PROBES, "TCP_USER_TIMEOUT": int(UNACKNOWLEDGED.total_seconds() * 1000)}.items():
            if (option := getattr(socket, name, None)) is not None:
                tcp.setsockopt(socket.IPPROTO_TCP, option, value)

    def validate_host_public_key(self, host: str, addr: str, port: int, key: asyncssh.SSHKey) -> bool:
        keys, *_ = self.known.match(host, addr, port if port != asyncssh.DEFAULT_PORT else None)
        known = tuple(f"{known.get_algorithm()} {known.get_fingerprint()}" for known in keys)
        self.shown = Shown(name=host, key=key, known=known)
        return False


class _Known:
    """What known_hosts files say: read once for many connections, and anew when one of them is another one."""

    def __init__(self) -> None:
        self._last: tuple[object, asyncssh.SSHKnownHosts] = (None, asyncssh.SSHKnownHosts())

    def of(self, files: Iterable[Path]) -> asyncssh.SSHKnownHosts:
        """All that is known; a file that is not there knows nothing, as for OpenSSH."""
        there = [(path, path.stat()) for path in files if path.exists()]
        as_read = [(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in there]
        if as_read != self._last[0]:
            known = asyncssh.SSHKnownHosts()
            for path, _ in there:
                known.load(path.read_text(encoding="utf-8", errors="replace"))  # comments may be anything
            self._last = (as_read, known)
        return self._last[1]
