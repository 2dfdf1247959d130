"""What counts as seen on a backend: only what the backend itself said, on a connection that proved to be to it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import Identity
from bot.core.hosts.inventory import Host
from bot.core.plans.plan import Expected
from bot.core.plans.procedure import Where
from bot.engine.looks.looking import Looking
from bot.engine.ports import Timings
from tests.build import target
from tests.fakes import FakeClock, FakeHosts, answered

ACTIVE = "LoadState=loaded\nActiveState=active\nSubState=running\nResult=success\nUnitFileState=enabled\n"
RUNS = Expected(probe="unit", where=Where.BACKEND, asks={"name": "dovecot", "active": "active"})


class Elsewhere(FakeHosts):
    """A host on which dovecot runs; it says that it has that address, and answers over that connection."""

    def __init__(self, reached: str, over: str = "one") -> None:
        super().__init__(lambda host, command: answered(host, command, ACTIVE))
        self._reached = reached
        self._over = over

    async def identity(self, host: Host) -> Identity:
        return replace(await super().identity(host), reached=self._reached, connection="one")

    async def run(self, host: Host, command: Command, *, material: bytes = b"", fence: Fence | None = None) -> Result:
        return replace(await super().run(host, command, material=material, fence=fence), connection=self._over)


@pytest.mark.parametrize(
    ("address", "over", "holds"),
    [("192.0.2.13", "one", True), ("192.0.2.12", "one", None), ("192.0.2.13", "another", None)],
)
async def test_what_another_host_says_is_no_reading_of_the_backend(address: str, over: str, holds: bool | None) -> None:
    """Its SSH name led elsewhere after a kill: a start was called done, and users were sent to a stopped dovecot."""
    observation = await Looking(Elsewhere(address, over), FakeClock(), Timings(), target()).look([RUNS])
    assert observation.verdict.holds is holds
