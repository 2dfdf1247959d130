"""A plain SSH client of the practice ring, and the fixtures that give both to a test."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import asyncssh
import pytest

from bot.practice.ring.ring import PracticeRing
from tests.patience import SECONDS

IP = "192.0.2.13"


class Client:
    """One SSH connection to each host, made when first used."""

    def __init__(self, ring: PracticeRing) -> None:
        self.ring = ring
        self._open: dict[str, asyncssh.SSHClientConnection] = {}

    async def connect(self, host: str) -> asyncssh.SSHClientConnection:
        if host not in self._open or self._open[host].is_closed():
            self._open[host] = await asyncssh.connect(host, config=[str(self.ring.ssh_config)])
        return self._open[host]

    async def __call__(self, host: str, command: str, **more: Any) -> asyncssh.SSHCompletedProcess:
        connection = await self.connect(host)
        return await asyncio.wait_for(connection.run(command, **more), SECONDS)

    async def out(self, host: str, command: str) -> str:
        done = await self(host, command)
        assert done.exit_status == 0, (command, done.exit_status, done.stderr)
        return str(done.stdout)

    async def row(self, director: str, ip: str = IP) -> dict[str, str]:
        table = await self.out(director, "doveadm -f tab director status")
        return next(row for row in csv.DictReader(io.StringIO(table), delimiter="\t") if row["mail server ip"] == ip)

    async def close(self) -> None:
        for connection in self._open.values():
            connection.abort()
            await connection.wait_closed()


@pytest.fixture
async def ring() -> AsyncIterator[PracticeRing]:
    async with PracticeRing(learning_takes=timedelta(seconds=0.3)) as ring:
        for backend in ring.backends.values():
            backend.packages.takes = backend.dovecot_unit.stop_takes = timedelta(seconds=0.1)
        yield ring


@pytest.fixture
async def ssh(ring: PracticeRing) -> AsyncIterator[Client]:
    client = Client(ring)
    yield client
    await client.close()


async def until(condition: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + SECONDS
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.01)
