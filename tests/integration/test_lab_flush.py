"""The engine on the real ring, in this process: what systemd says of the unit that flushes the metacache is heeded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from bot.adapters.alarms import ApsAlarms
from bot.adapters.clock import SystemClock
from bot.adapters.ssh import SshHosts
from bot.core.decisions.approval import Person
from bot.core.decisions.decide import Approve
from bot.core.hosts.inventory import Inventory
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue, Request
from bot.engine.ports import Ports
from bot.engine.service import Service
from tests.acceptance.realring import FLUSH_UNIT, ring_of, site_of
from tests.build import REQUESTER, SECOND, library
from tests.fakes import FakeAnnouncer, FakeJournal, FakePeople, FakeProposals
from tests.integration.place import QUICK, RUN
from tests.lab import Lab
from tests.lab.fixtures import lab
from tests.patience import SECONDS

__all__ = ["lab"]


@asynccontextmanager
async def asked_for(lab: Lab) -> AsyncIterator[Service]:
    """A run on backend-3 has just been asked for; it is not patient."""
    clock, site = SystemClock(), site_of(lab, lab.directory)
    hosts = SshHosts([site.ssh_config], site.known_hosts, timedelta(seconds=5), timedelta(seconds=5), clock)
    alarms = ApsAlarms(clock)
    alarms.start()
    world = Ports(
        journal=FakeJournal(),
        hosts=hosts,
        announcer=FakeAnnouncer(),
        alarms=alarms,
        clock=clock,
        people=FakePeople({user: Person(id=user, may_ask=True, may_approve=True) for user in (REQUESTER, SECOND)}),
        proposals=FakeProposals(),
        timings=QUICK,
    )
    read = library()
    catalogue = Catalogue(
        inventory=Inventory(rings=(ring_of(site, sudo=True),)), procedures=read.procedures, rules=read.rules
    )
    service = Service(world, catalogue, lambda: RUN)
    request = Request(
        command="/dovecot-upgrade", text="backend-3 restart=yes", requester=REQUESTER, team="T0", channel="C0"
    )
    await service.request(request)
    try:
        yield service
    finally:
        await service.close(timedelta(0))
        await alarms.stop()
        await hosts.close()


async def until(service: Service, status: Status) -> Run:
    async with asyncio.timeout(SECONDS):
        while True:
            run = fold(await service.entries(RUN))
            assert run is not None
            if run.status is status:
                return run
            assert run.status is not Status.ENDED, run.reason
            await asyncio.sleep(0.02)


def kept(lab: Lab) -> str:
    """The metacache's files."""
    return lab.run("backend-3", "find /var/dovecot/vmail /var/lib/dovecot/metacache | sort", check=True).stdout


async def test_nothing_is_begun_while_the_unit_that_flushes_the_metacache_is_disabled(lab: Lab) -> None:
    """Disabled while the question waited: the stop was no flush, and the metacache was deleted."""
    before = await asyncio.to_thread(kept, lab)
    async with asked_for(lab) as service:
        run = await until(service, Status.ASKING)
        await asyncio.to_thread(lab.run, "backend-3", f"systemctl disable {FLUSH_UNIT}", check=True)
        assert run.asked is not None
        person = Person(id=SECOND, may_ask=True, may_approve=True)
        await service.steer(RUN, Approve(person=person, ask=run.asked.seq, message="1.1"))
        held = await until(service, Status.HELD)
    assert held.failed == "stop-lmtp"
    assert f"{FLUSH_UNIT} is active (success, disabled)" in held.reason
    assert not [ran for ran in lab.log("backend-3") if ran.via == "sudo" and "stop" in ran.command]
    assert await asyncio.to_thread(kept, lab) == before
