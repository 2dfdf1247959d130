"""The `Hosts` port without SSH: it has to say NotRun, MayHaveRun, CameLate and StillRuns as the real one does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from bot.core.hosts.command import Command
from bot.core.hosts.fence import Fence
from bot.core.hosts.inventory import Backend, Director
from bot.errors import CameLate, MayHaveRun, NotRun, StillRuns
from bot.practice.ring.ring import PracticeRing
from tests.harness.evidence import Watching
from tests.harness.hosts import SimHosts
from tests.harness.network import Network
from tests.harness.play import now
from tests.harness.virtual import run_virtual

BACKEND = Backend.model_validate({"name": "backend-3", "ip": "192.0.2.13", "sudo": True})
DIRECTOR = Director(name="director-1")
STOP = Command(argv=("systemctl", "stop", "dovecot"))
LOCK = "/run/lock/dovecot-bot-192.0.2.13.lock"


class Site:
    def __init__(self) -> None:
        self.ring = PracticeRing(users=0, now=now)
        self.watching = Watching(self.ring)
        self.network = Network(self.ring, now)
        self.hosts = SimHosts(self.network, now)

    async def fence(self, *, seconds: int = 5, lock: str | None = LOCK) -> Fence:
        identity = await self.hosts.identity(BACKEND)
        return Fence(connection=identity.connection, not_after=int(now().timestamp()) + seconds, lock=lock)


def on_a_site(play: Callable[[Site], Awaitable[None]]) -> None:
    async def whole() -> None:
        await play(Site())

    run_virtual(whole())


def test_a_command_is_sent_through_sudo_and_its_result_has_all_that_it_said() -> None:
    async def play(site: Site) -> None:
        result = await site.hosts.run(BACKEND, STOP)
        assert (result.command, result.exit_status, result.host) == (
            "sudo -n -- systemctl stop dovecot",
            0,
            "backend-3",
        )
        assert result.took > timedelta(seconds=0.3)
        kept = await site.hosts.run(DIRECTOR, Command(argv=("echo", "x" * 10), keeps_output=False))
        assert (kept.stdout, kept.stdout_bytes) == ("", 11)

    on_a_site(play)


def test_an_identity_is_of_a_connection_and_a_fence_goes_over_no_other() -> None:
    async def play(site: Site) -> None:
        first = await site.hosts.identity(BACKEND)
        assert "192.0.2.13" in first.addresses
        assert (await site.hosts.identity(BACKEND)) == first
        fence = await site.fence()
        site.network.drop("backend-3")
        with pytest.raises(NotRun):
            await site.hosts.run(BACKEND, STOP, fence=fence)
        assert (await site.hosts.identity(BACKEND)).connection != first.connection
        with pytest.raises(NotRun):
            await site.hosts.run(BACKEND, STOP, fence=fence)
        assert (await site.hosts.run(BACKEND, STOP, fence=await site.fence())).exit_status == 0
        (ran,) = site.ring.ran("systemctl stop dovecot")
        assert (ran.command, ran.lock) == ("sudo -n -- systemctl stop dovecot", LOCK)

    on_a_site(play)


def test_a_name_that_leads_elsewhere_is_told_by_the_identity_only() -> None:
    async def play(site: Site) -> None:
        site.network.reaches["backend-3"] = "backend-2"
        assert "192.0.2.13" not in (await site.hosts.identity(BACKEND)).addresses
        await site.hosts.run(BACKEND, STOP)
        assert [(one.ran.host, one.meant) for one in site.watching.begun[-1:]] == [("backend-2", "backend-3")]

    on_a_site(play)


def test_the_fence_refuses_what_comes_late_and_what_finds_the_earlier_one_running() -> None:
    async def play(site: Site) -> None:
        with pytest.raises(CameLate):
            await site.hosts.run(BACKEND, STOP, fence=await site.fence(seconds=0))
        fence = await site.fence()
        site.ring.backends["backend-3"].dovecot_unit.stop_takes = timedelta(seconds=4)
        stopping = asyncio.ensure_future(site.hosts.run(BACKEND, STOP, fence=fence))
        await asyncio.sleep(1)
        with pytest.raises(StillRuns):
            await site.hosts.run(BACKEND, STOP, fence=fence)
        assert (await stopping).exit_status == 0
        assert [ran.exit_status for ran in site.ring.refused] == [95, 94]
        assert len(site.ring.ran("systemctl stop dovecot")) == 1

    on_a_site(play)


def test_a_silent_host_hears_later_what_its_sender_has_given_up() -> None:
    """This is the late command: only the host can refuse it."""

    async def play(site: Site) -> None:
        fence = await site.fence()
        site.network.silence("backend-3", timedelta(seconds=26))
        with pytest.raises(MayHaveRun):
            await site.hosts.run(BACKEND, STOP)
        with pytest.raises(NotRun):
            await site.hosts.run(BACKEND, Command(argv=("true",)))
        with pytest.raises(NotRun):
            await site.hosts.run(BACKEND, STOP, fence=fence)
        assert site.ring.log[1:] == []
        await asyncio.sleep(30)
        assert [ran.exit_status for ran in site.ring.ran("stop dovecot")] == [0]

    on_a_site(play)


def test_a_host_that_is_away_runs_nothing_new_and_ends_what_it_runs() -> None:
    async def play(site: Site) -> None:
        stopping = asyncio.ensure_future(site.hosts.run(BACKEND, STOP))
        await asyncio.sleep(0.1)
        site.network.away("backend-3", timedelta(seconds=20))
        with pytest.raises(MayHaveRun):
            await stopping
        with pytest.raises(NotRun):
            await site.hosts.identity(BACKEND)
        await asyncio.sleep(20)
        assert [ran.exit_status for ran in site.ring.ran("stop dovecot")] == [0]
        assert (await site.hosts.run(BACKEND, Command(argv=("true",)))).exit_status == 0

    on_a_site(play)


def test_a_command_that_does_not_end_in_time_may_have_run() -> None:
    async def play(site: Site) -> None:
        site.ring.directors["director-1"].hanging = True
        began = now()
        command = Command(argv=("doveadm", "director", "update", "192.0.2.13", "0"), timeout=timedelta(seconds=3))
        with pytest.raises(MayHaveRun):
            await site.hosts.run(DIRECTOR, command)
        assert now() - began < timedelta(seconds=4)

    on_a_site(play)


def test_a_reboot_is_heard_as_a_lost_connection_and_shows_in_the_boot_id() -> None:
    async def play(site: Site) -> None:
        before = await site.hosts.identity(BACKEND)
        stopping = asyncio.ensure_future(site.hosts.run(BACKEND, STOP))
        await asyncio.sleep(0.1)
        site.ring.backends["backend-3"].reboot()
        site.network.drop("backend-3", "the host has rebooted")
        with pytest.raises(MayHaveRun):
            await stopping
        after = await site.hosts.identity(BACKEND)
        assert (after.boot_id != before.boot_id, after.machine_id) == (True, before.machine_id)

    on_a_site(play)
