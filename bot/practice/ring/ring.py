"""The practice ring: pretend directors, backends and mail users, for `try` and for the tests.

Each host is a real SSH server in this process, on a port of its own of 127.0.0.1, and answers as the real thing
does. Nothing runs as a real command, and outside of one temporary directory no file is touched.
"""

import asyncio
import random
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import asyncssh

from bot.practice.ring.hosts import Backend, Director
from bot.practice.ring.state import BackendState, DirectorsState, View
from bot.practice.ring.users import MailUsers
from bot.practice.values import Fault, Faults, HostLog, Now, Ran, machine_time

TEST_USER = "practice-test"
_TICK = timedelta(seconds=0.03)


class PracticeRing:
    """A ring to practise on, while its `async with` lasts.

    `log` has every command that really ran, in the order in which they began, `refused` those that a fence kept from
    running, `losses` what was deleted of a metacache that was not flushed, `failed_logins` the users who were turned
    away; `directors` and `backends` are the hosts by name; `ssh_config`, `known_hosts` and `directory` (all only inside
    the `async with`) are what an SSH client needs.
    """

    def __init__(
        self,
        *,
        directors: int = 2,
        backends: int = 3,
        users: int = 60,
        user_expire: timedelta = timedelta(seconds=8),
        metacache: bool = True,
        login_patience: timedelta = timedelta(seconds=3),
        learning_takes: timedelta = timedelta(seconds=1),
        chance: random.Random | None = None,
        tags: Mapping[str, str] | None = None,
        now: Now = machine_time,
    ) -> None:
        """`user_expire` is director_user_expire; `login_patience` how long a director retries a login,
        `learning_takes` how long a restarted director does without the ring's state.

        `chance` decides what the users do; the same seed every time unless given. `tags`: the directors' tag of a
        backend, by its name. `now` says the time, for all hosts; pauses are those of the event loop.
        """
        chance = chance or random.Random(2319)  # noqa: S311  a game, not a secret
        self.hostlog = HostLog()
        self.now = now
        self.test_user = TEST_USER
        self._faults = Faults[Fault]()
        self._known_users = {TEST_USER}
        self.backends = self._made_backends(backends, metacache=metacache)
        views = {
            f"director-{number}": self._view(f"192.0.2.{number}", tags or {}) for number in range(1, directors + 1)
        }
        self.state = DirectorsState(
            directors=views, user_expire=user_expire, chance=chance, learning_takes=learning_takes
        )
        self.directors = {name: self._made_director(name, view.ip) for name, view in views.items()}
        self.people = MailUsers(
            self.state, count=users, serving=self._serving, chance=chance, now=now(), login_patience=login_patience
        )
        self._known_users |= self.people.names
        self.refused, self.losses = self.hostlog.refused, self.hostlog.losses
        self.failed_logins = self.people.failed_logins
        self.state.connected = lambda: self.people.connected
        for backend in self.backends.values():
            backend.dovecot.through_directors = partial(self._through_directors, backend.ip)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._life: asyncio.Task[None] | None = None

    def _made_backends(self, count: int, *, metacache: bool) -> dict[str, Backend]:
        ips = {f"backend-{number}": f"192.0.2.{10 + number}" for number in range(1, count + 1)}
        return {
            name: Backend(
                name,
                ip,
                users=self._known_users,
                metacache=metacache,
                now=self.now,
                log=self.hostlog,
                faults=self._faults,
                cut_off=partial(self._cut_off, ip),
            )
            for name, ip in ips.items()
        }

    def _made_director(self, name: str, ip: str) -> Director:
        return Director(name, ip, ring=self.state, now=self.now, log=self.hostlog, faults=self._faults)

    def _view(self, ip: str, tags: Mapping[str, str]) -> View:
        return View(
            ip=ip, backends={one.ip: BackendState(tag=tags.get(one.name, "")) for one in self.backends.values()}
        )

    def _cut_off(self, ip: str) -> None:
        self.state.cut_off(ip)

    def _through_directors(self, ip: str) -> list[str]:
        return [user for user, at in self.people.connected.items() if at == ip]

    def _serving(self, ip: str) -> bool:
        return any(backend.serving for backend in self.backends.values() if backend.ip == ip)

    # what a test does and sees

    @property
    def log(self) -> list[Ran]:
        """Every command that really ran, in the order in which they began."""
        return self.hostlog.ran

    def users_on(self, backend: str) -> int:
        """How many users the ring has mapped to the backend of this name."""
        view = self.state.knowing()
        return self.state.users(view, self.backends[backend].ip) if view is not None else 0

    def ran(self, matches: str, host: str | None = None) -> list[Ran]:
        """What of the log contains `matches`, on every host or on one."""
        return [ran for ran in self.log if matches in ran.command and host in {None, ran.host}]

    def restart_director(self, name: str) -> None:
        """Restart one director: for about a second it says vhosts 100 and up of everything."""
        self.state.restart([name], self.now())

    def restart_all_directors(self) -> None:
        """Restart all directors at once: the ring forgets."""
        self.state.restart(list(self.directors), self.now())

    def fault(self, fault: Fault) -> None:
        """Let something go wrong with a command to come."""
        self._faults.add(fault)

    def clear_faults(self) -> None:
        """Take back the faults that have not struck."""
        self._faults.clear()

    @property
    def directory(self) -> Path:
        """Where the client key, known_hosts and ssh_config lie."""
        if self._temporary is None:
            raise RuntimeError("the practice ring is not running")
        return Path(self._temporary.name)

    @property
    def ssh_config(self) -> Path:
        """A configuration for ssh that names every host."""
        return self.directory / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The public keys of all hosts."""
        return self.directory / "known_hosts"

    # from begin to end

    async def __aenter__(self) -> Self:
        """Start every host and the users' life."""
        self._temporary = tempfile.TemporaryDirectory(prefix="practice-ring-")
        try:
            await self._listen()
        except BaseException:
            await self._close()
            raise
        self._life = asyncio.create_task(self._live())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop everything and remove the directory."""
        await self._close()

    async def _listen(self) -> None:
        client_key = asyncssh.generate_private_key("ssh-ed25519")
        authorized = asyncssh.import_authorized_keys(client_key.export_public_key().decode())
        hosts = [*self.directors.values(), *self.backends.values()]
        known, config = "", ""
        for host in hosts:
            host_key = asyncssh.generate_private_key("ssh-ed25519")
            await host.listen(authorized, host_key)
            known += f"[127.0.0.1]:{host.port} {host_key.export_public_key().decode().strip()}\n"
            config += host.ssh_config(self.directory)
        self._write("client_key", client_key.export_private_key().decode())
        self._write("known_hosts", known)
        self._write("ssh_config", config)

    def _write(self, name: str, text: str) -> None:
        path = self.directory / name
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")

    def tick(self) -> None:
        """Let happen what is due; called again and again while the ring runs, and by whoever plays without that."""
        now = self.now()
        self.state.tick(now)
        self.people.tick(now)

    async def _live(self) -> None:
        while True:
            self.tick()
            await asyncio.sleep(_TICK.total_seconds())

    async def _close(self) -> None:
        if self._life is not None:
            self._life.cancel()
            with suppress(asyncio.CancelledError):
                await self._life
            self._life = None
        await asyncio.gather(*(host.close() for host in [*self.directors.values(), *self.backends.values()]))
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None
