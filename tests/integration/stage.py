"""A practice ring that is spoiled before a run is asked for, and a service whose preflight has to refuse it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from bot.adapters.clock import SystemClock
from bot.adapters.configs import FolderProposals
from bot.adapters.ssh import SshHosts
from bot.core.hosts.inventory import Inventory, Ring
from bot.core.runs import events as fact
from bot.engine.planning import Catalogue, Request
from bot.engine.ports import Ports, Timings
from bot.engine.service import Service
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import CHANNEL, REQUESTER
from bot.practice.site import CONFIG, propose, reviewed_config
from tests.build import library
from tests.fakes import FakeAlarms, FakeAnnouncer, FakeJournal, FakePeople
from tests.patience import SECONDS

RUN = "rtest23"
Spoil = Callable[[PracticeRing], Awaitable[object] | object]

BROKEN = {
    "broken": b"BROKEN = yes\n",
    "without-its-key": b"ssl_key = </etc/dovecot/private/missing.pem\n",
    "without-what-it-includes": b"!include /etc/dovecot/conf.d/10-auth.conf\n",
}
"""Configurations by name, and the line that is wrong with each: 10-auth.conf is there in the one in place alone."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A ring, a service for it, and the folder of proposed configurations."""

    ring: PracticeRing
    journal: FakeJournal
    service: Service
    configs: Path

    def propose(self, name: str, files: dict[str, bytes]) -> None:
        propose(self.configs / name, files)

    async def spoil(self, case: Case) -> None:
        """Make it so; a good configuration and broken ones are there in any case."""
        self.propose(CONFIG, reviewed_config(self.ring))
        for name, line in BROKEN.items():
            self.propose(name, reviewed_config(self.ring) | {"conf.d/99-broken.conf": line})
        done = case.spoil(self.ring)
        if isinstance(done, Awaitable):
            await done

    async def ask(self, text: str) -> None:
        request = Request(command="/dovecot-upgrade", text=text, requester=REQUESTER, team="T0", channel=CHANNEL)
        await self.service.request(request)

    async def until(self, *kinds: type[fact.Fact]) -> fact.Fact:
        """The first fact of one of these kinds, waited for."""
        async with asyncio.timeout(SECONDS):
            while True:
                for entry in self.journal.facts.get(RUN, []):
                    if isinstance(entry.fact, kinds):
                        return entry.fact
                await asyncio.sleep(0.01)


def inventory(ring: PracticeRing, *, metacache: bool) -> Inventory:
    table = {
        "name": "practice",
        "test_user": ring.test_user,
        "directors": [{"name": name, "sudo": True} for name in ring.directors],
        "backends": [{"name": name, "ip": host.ip, "sudo": True} for name, host in ring.backends.items()],
    }
    return Inventory(rings=(Ring.model_validate(table | ({"metacache": {}} if metacache else {})),))


@asynccontextmanager
async def staged(configs: Path, *, metacache: bool = True) -> AsyncIterator[Stage]:
    learning = timedelta(minutes=1)  # a restarted director stays without the ring's state for a whole test
    async with PracticeRing(users=12, metacache=metacache, learning_takes=learning) as ring:
        clock, journal = SystemClock(), FakeJournal()
        reach = SshHosts([ring.ssh_config], None, timedelta(seconds=5), timedelta(seconds=5), clock)
        world = Ports(
            journal=journal,
            hosts=reach,
            announcer=FakeAnnouncer(),
            alarms=FakeAlarms(clock),
            clock=clock,
            people=FakePeople(),
            proposals=FolderProposals(configs),
            timings=Timings(look_again=timedelta(milliseconds=80)),
        )
        catalogue = Catalogue(
            inventory=inventory(ring, metacache=metacache), procedures=library().procedures, rules=library().rules
        )
        service = Service(world, catalogue, lambda: RUN)
        try:
            yield Stage(ring=ring, journal=journal, service=service, configs=configs)
        finally:
            await service.close()
            await reach.close()


@dataclass(frozen=True, kw_only=True)
class Case:
    """Something wrong with the ring; the step that has to see it, and what its reason has to say."""

    step: str
    reason: tuple[str, ...]
    spoil: Spoil = lambda _ring: None
    options: str = ""
    staged: bool = False
