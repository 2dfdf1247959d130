"""What OpenSSH's configuration says of a route to a host. Reading it may take for ever: a `Match exec` runs a program.

So no reading keeps another host from being reached: each has a thread of its own, not one of the pool that all of the
bot shares, and there is one per route at a time, as nothing ends one that hangs. It must not know what is connected.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh

from bot.adapters.ssh.errors import FOREIGN, Endpoint, explained
from bot.adapters.ssh.route import Route, jump_of

READING = timedelta(seconds=10)
"""How long it may take to read, for whoever waits for that."""

Options = asyncssh.SSHClientConnectionOptions


class Unreached(Exception):
    """There is no connection; the text says why, and what to do."""


@dataclass(frozen=True)
class Configured:
    """What it says of one route. `options`: as asyncssh has read it."""

    route: Route
    jump: Route | None
    known_hosts: tuple[Path, ...]
    where: Endpoint
    options: Options

    @property
    def read(self) -> dict[str, Any]:
        """What asyncssh connects by: what was read here, unless it depends on the name that the host turns out to have.

        asyncssh would read it anew for each connection, in the pool.
        """
        anew = self.options.config.has_match_final() or self.options.canonicalize_hostname
        return {} if anew else {"options": self.options, "config": None}


class Configuration:
    """OpenSSH's files, with what stands before and behind them. `patience`: how long a connection may take."""

    def __init__(self, fixed: Mapping[str, Any], known_hosts: Path | None, patience: float) -> None:
        self._fixed = fixed
        self._known_hosts = known_hosts
        self._patience = patience
        self._under_way: dict[Route, asyncio.Future[Options]] = {}

    async def of(self, route: Route) -> Configured:
        """What it says of this route; raises Unreached."""
        limit = READING.total_seconds()
        try:
            async with asyncio.timeout(limit):
                options = await asyncio.shield(self._reading(route))  # others may wait for it longer
            jump = jump_of(route, options.tunnel)
            files = self._files(options.known_hosts)
        except TimeoutError as error:
            raise Unreached(
                f"the SSH configuration of the bot's machine says nothing of {route.host} within {limit:g} s. What to"
                " do: see which `Match exec` in it hangs, and end that program: it is read anew only then"
            ) from error
        except FOREIGN as error:
            raise Unreached(explained(error, self._guess(route))) from error
        return Configured(route, jump, files, self._where(route, options, jump, files), options)

    def _reading(self, route: Route) -> asyncio.Future[Options]:
        """The one that is under way, or a new one."""
        if (reading := self._under_way.get(route)) is None:
            reading = self._under_way[route] = _in_its_own_thread(
                lambda loop: Options(loop=loop, **self._fixed, **route.options), f"ssh-config {route.host}"
            )
            reading.add_done_callback(lambda done: self._over(route, done))
        return reading

    def _over(self, route: Route, reading: asyncio.Future[Options]) -> None:
        del self._under_way[route]
        reading.exception()  # asyncio would say that nobody has asked for it, where nobody waits any more

    def _files(self, configured: object) -> tuple[Path, ...]:
        """The known_hosts files: the bot's own setting first, then what the SSH config names, else OpenSSH's default.

        asyncssh gives None for `UserKnownHostsFile none`, an empty list when nothing is configured.
        """
        own = (self._known_hosts,) if self._known_hosts else ()
        named = tuple(Path(str(name)) for name in configured) if isinstance(configured, list) else ()
        default = (Path("~/.ssh/known_hosts"),) if configured == [] and not own else ()
        return tuple(path.expanduser() for path in (*own, *named, *default))

    def _guess(self, route: Route) -> Endpoint:
        """What is known of a route before its configuration is read."""
        return Endpoint(
            name=route.host,
            host=route.host,
            port=route.port or 22,
            user=route.user or "the user of the SSH config",
            jump="",
            seconds=self._patience,
            known_hosts=self._known_hosts or Path("~/.ssh/known_hosts"),
        )

    def _where(self, route: Route, options: Options, jump: Route | None, files: Sequence[Path]) -> Endpoint:
        return Endpoint(
            name=route.host,
            host=options.host,
            port=options.port,
            user=options.username,
            jump=jump.host if jump else "",
            seconds=self._patience,
            known_hosts=next(iter(files), Path("~/.ssh/known_hosts")),
        )


def _in_its_own_thread(reads: Callable[[asyncio.AbstractEventLoop], Options], name: str) -> asyncio.Future[Options]:
    """What it returns or raises; the bot waits for no such thread when it stops, as the pool would."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[Options] = loop.create_future()

    def tell(how: Callable[[Any], None], what: object) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits
            loop.call_soon_threadsafe(how, what)

    def read() -> None:
        try:
            options = reads(loop)
        except Exception as error:  # noqa: BLE001, as it is raised where it is waited for
            tell(came.set_exception, error)
        else:
            tell(came.set_result, options)

    threading.Thread(target=read, name=name, daemon=True).start()
    return came
