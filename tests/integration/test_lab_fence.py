"""Identity and fence on the real ring: what real sshd, sudo, flock and dash make of them, by the host's own logs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta

import pytest

from bot.adapters.clock import SystemClock
from bot.adapters.ssh import SshHosts
from bot.adapters.ssh.connection import AT_ONCE, HANGING
from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import CLOCK, Fence, Locks, fenced, lock_question, read_clock, read_locks
from bot.core.hosts.identity import not_proved_to_be
from bot.core.hosts.inventory import Backend, Director
from bot.errors import CameLate, MayHaveRun, NotRun, StillRuns
from tests.lab import Lab
from tests.lab.fixtures import lab
from tests.patience import SECONDS

__all__ = ["lab"]

NAME = "backend-1"
LOCK = f"/home/mailbot/.dovecot-bot-{NAME}.lock"


def run(*argv: str, seconds: float = SECONDS, root: bool = True) -> Command:
    return Command(argv=argv, root=root, timeout=timedelta(seconds=seconds))


class Bench:
    """The bot's way to a host of the ring, and what the host itself says of it."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.host: Backend | Director = Backend.model_validate(
            {"name": NAME, "ip": lab.backends[NAME].ip, "sudo": True}
        )
        ways = lab.directory / "ssh_config", lab.directory / "known_hosts"
        self.hosts = SshHosts([ways[0]], ways[1], timedelta(seconds=5), timedelta(seconds=5), SystemClock())

    async def fence(self, *, seconds: int = 60, lock: str | None = LOCK) -> Fence:
        """As the engine makes one: by what the host says on this connection, and by the host's clock."""
        now = read_clock((await self.hosts.run(self.host, CLOCK)).stdout)
        assert now is not None
        return Fence(connection=(await self.hosts.identity(self.host)).connection, not_after=now + seconds, lock=lock)

    async def inside(self, script: str) -> str:
        """Run it as root inside the host, without SSH."""
        return (await asyncio.to_thread(self.lab.run, NAME, script)).stdout

    async def ran(self, word: str, via: str) -> list[str]:
        """The commands with that word in them that sshd was given, or that sudo ran."""
        return [
            one.command for one in await asyncio.to_thread(self.lab.log, NAME) if one.via == via and word in one.command
        ]

    async def until(self, holds: Callable[[str], bool], script: str) -> None:
        """Wait until what the script prints inside the host is so."""
        async with asyncio.timeout(SECONDS):
            while not holds(await self.inside(script)):
                await asyncio.sleep(0.1)


@pytest.fixture
async def bench(lab: Lab) -> AsyncIterator[Bench]:
    bench = Bench(lab)
    yield bench
    await bench.hosts.close()
    await bench.inside(f"pkill -f 'sleep 10[0-9]'; rm -f {LOCK} /run/lock/dovecot-bot-*; chmod 700 /home/mailbot")


# identity


async def test_a_real_sshd_says_where_it_was_reached_and_the_host_which_machine_it_is(lab: Lab, bench: Bench) -> None:
    identity = await bench.hosts.identity(bench.host)
    assert identity.reached == lab.backends[NAME].ip
    assert "127.0.0.1" in identity.addresses
    assert identity.machine_id == (await bench.inside("cat /etc/machine-id")).strip()
    assert identity.boot_id == (await bench.inside("cat /proc/sys/kernel/random/boot_id")).strip()
    assert not_proved_to_be(bench.host, identity) == ""
    assert (await bench.hosts.run(bench.host, CLOCK)).connection == identity.connection


async def test_another_backend_under_the_name_is_found_out(lab: Lab, bench: Bench) -> None:
    """One wrong `ssh` in the settings, and the wrong backend would be stopped while its users are on it."""
    wrong = bench.host.model_copy(update={"ssh": "backend-2"})
    text = not_proved_to_be(wrong, await bench.hosts.identity(wrong))
    _, found, rest = text.partition(f"`ssh backend-2` reaches does not prove to be {NAME}: it has ")
    addresses, found_too, _ = rest.partition(", and the directors")
    assert found
    assert found_too
    # Among those that this machine has besides.
    assert lab.backends["backend-2"].ip in addresses.split(", ")


# what a real host makes of a fence


async def test_a_fenced_change_runs_as_root_and_its_input_reaches_it(bench: Bench) -> None:
    around = await bench.fence()
    result = await bench.hosts.run(bench.host, run("sh", "-c", "id -u; cat; exit 75"), material=b"a tree", fence=around)
    assert (result.stdout, result.exit_status, result.stderr) == ("0\na tree", 75, "")
    assert result.command == "sudo -n -- sh -c 'id -u; cat; exit 75'"
    assert (await bench.ran("id -u; cat", "ssh"))[-1] == fenced(result.command, around)
    assert (await bench.ran("id -u; cat", "sudo"))[-1] == "sh -c 'id -u; cat; exit 75'"


async def test_what_is_late_by_the_hosts_clock_is_refused_and_sudo_never_hears_of_it(bench: Bench) -> None:
    for lock in (LOCK, None):
        late = await bench.fence(seconds=0, lock=lock)
        with pytest.raises(CameLate):
            await bench.hosts.run(bench.host, run("touch", "/tmp/late"), fence=late)
    assert len(await bench.ran("/tmp/late", "ssh")) == 2
    assert await bench.ran("/tmp/late", "sudo") == []
    assert await bench.inside("ls /tmp/late") == ""


async def test_a_second_change_is_refused_while_the_first_still_runs_that_nobody_hears_any_more(bench: Bench) -> None:
    """The first was given up: its connection is gone, and it may run for minutes yet."""
    with pytest.raises(MayHaveRun):
        await bench.hosts.run(bench.host, run("sleep", "100", seconds=1), fence=await bench.fence())
    assert await asyncio.to_thread(bench.lab.cut_ssh, NAME)
    around = await _renewed(bench)
    with pytest.raises(StillRuns, match=LOCK):
        await bench.hosts.run(bench.host, run("touch", "/tmp/second"), fence=around)
    locks = read_locks((await bench.hosts.run(bench.host, lock_question(NAME))).stdout)
    assert locks is not None
    assert locks.free[LOCK] is False
    await bench.inside("pkill -f 'sleep 100'")
    await bench.until(lambda printed: printed == "", "pgrep -f 'sleep 100'")
    assert (await bench.hosts.run(bench.host, run("touch", "/tmp/second"), fence=around)).exit_status == 0
    assert len(await bench.ran("/tmp/second", "sudo")) == 1


async def test_a_director_takes_a_second_change_beside_one_that_hangs(bench: Bench) -> None:
    bench.host = Director(name=NAME, sudo=True)
    with pytest.raises(MayHaveRun):
        await bench.hosts.run(bench.host, run("sleep", "101", seconds=1), fence=await bench.fence(lock=None))
    around = await bench.fence(lock=None)
    assert (await bench.hosts.run(bench.host, run("true"), fence=around)).exit_status == 0


async def test_no_change_goes_over_a_connection_that_was_made_after_the_look(bench: Bench) -> None:
    around = await bench.fence()
    assert await asyncio.to_thread(bench.lab.cut_ssh, NAME)
    for _ in range(2):
        with pytest.raises(NotRun):
            await bench.hosts.run(bench.host, run("touch", "/tmp/elsewhere"), fence=around)
        assert (await bench.hosts.run(bench.host, CLOCK)).connection != around.connection
    assert await bench.ran("/tmp/elsewhere", "ssh") == []


async def test_a_home_that_cannot_be_written_to_leaves_the_lock_of_the_host(bench: Bench) -> None:
    async def offered() -> Locks:
        locks = read_locks((await bench.hosts.run(bench.host, lock_question(NAME))).stdout)
        assert locks is not None
        assert abs(locks.now - time.time()) < 60
        return locks

    shared = f"/run/lock/dovecot-bot-{NAME}.lock"
    assert (await offered()).free == {LOCK: True, shared: True}
    await bench.inside(f"rm -f {LOCK}; chown root /home/mailbot")
    try:
        assert (await offered()).free == {shared: True}
        around = await bench.fence(lock=shared)
        assert (await bench.hosts.run(bench.host, run("true"), fence=around)).exit_status == 0
    finally:
        await bench.inside("chown mailbot /home/mailbot")


# what hangs


async def test_looks_that_hang_on_a_host_leave_its_changes_their_room(bench: Bench) -> None:
    """sshd counts a session until its command has ended, however long ago it was given up, and refuses the eleventh."""
    look = run("sleep", "102", seconds=1)
    ended = await asyncio.gather(*(bench.hosts.run(bench.host, look) for _ in range(12)), return_exceptions=True)
    assert {type(one) for one in ended} == {MayHaveRun, NotRun}
    with pytest.raises(NotRun, match=r"given up and still run there"):
        await bench.hosts.run(bench.host, look)
    around = await bench.fence()
    assert (await bench.hosts.run(bench.host, run("echo", "done"), fence=around)).stdout == "done\n"
    await bench.inside("pkill -f 'sleep 102'")
    await bench.until(lambda printed: printed == "", "pgrep -f 'sleep 102'")
    looked: Result = await bench.hosts.run(bench.host, run("echo", "well"))
    assert (looked.stdout, looked.connection) == ("well\n", around.connection)
    assert HANGING < len(await bench.ran("sleep 102", "sudo")) <= HANGING + AT_ONCE


async def test_a_host_takes_no_eleventh_command_while_ten_that_were_given_up_still_run(bench: Bench) -> None:
    """The reason why looks are not sent without end; what it refuses is certainly not run."""
    around = await bench.fence(lock=None)
    change = run("sleep", "103", seconds=1)
    ended = await asyncio.gather(
        *(bench.hosts.run(bench.host, change, fence=around) for _ in range(12)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in ended) == ["MayHaveRun"] * 10 + ["NotRun"] * 2
    assert len(await bench.ran("sleep 103", "sudo")) == 10


async def _renewed(bench: Bench) -> Fence:
    """A fence for the connection that is made after the one that was cut."""
    await bench.hosts.run(bench.host, CLOCK)
    return await bench.fence()
