"""Fences and identities on the practice ring, through a real SSH client: the bot's own scripts, as it sends them."""

import asyncio
from datetime import UTC, datetime, timedelta

import asyncssh
import pytest

from bot.core.hosts.command import Command, Result
from bot.core.hosts.fence import CLOCK, LATE, LOCKED, Fence, fenced, lock_question, read_clock, read_locks
from bot.core.hosts.identity import QUESTION, Identity, read_identity
from bot.practice.ring.ring import PracticeRing
from bot.practice.values import Answer, Call, Fault
from tests.integration.sshclient import IP, Client, ring, ssh, until
from tests.patience import SECONDS

__all__ = ["ring", "ssh"]

LOCK = f"/home/practice/.dovecot-bot-{IP}.lock"
STOP = "sudo -n -- systemctl stop dovecot"


async def asked(ssh: Client, host: str, command: Command) -> Result:
    done = await ssh(host, command.text)
    return Result(
        host=host,
        command=command.text,
        exit_status=done.exit_status if done.exit_status is not None else -1,
        stdout=str(done.stdout),
        stderr=str(done.stderr),
        stdout_bytes=len(str(done.stdout)),
        began=datetime.now(UTC),
        took=timedelta(0),
    )


async def identity(ssh: Client, host: str) -> Identity:
    return read_identity("1", await asked(ssh, host, QUESTION))


def sent(line: str = STOP, *, seconds: int = 5, lock: str | None = LOCK) -> str:
    not_after = int(datetime.now(UTC).timestamp()) + seconds
    return fenced(line, Fence(connection="1", not_after=not_after, lock=lock))


# identity


async def test_every_host_says_who_it_is_and_all_differ(ring: PracticeRing, ssh: Client) -> None:
    """What the settings mean is proved by an address, or by a machine-id."""
    hosts = [*ring.directors.values(), *ring.backends.values()]
    said = [await identity(ssh, host.name) for host in hosts]
    assert [host.ip in one.addresses for host, one in zip(hosts, said, strict=True)] == [True] * 5
    assert {one.reached for one in said} == {"127.0.0.1"}
    assert len({one.machine_id for one in said}) == len({one.boot_id for one in said}) == 5


async def test_a_cloned_machine_and_one_without_ip_can_be_played(ring: PracticeRing, ssh: Client) -> None:
    """The bot has to live with both."""
    backend = ring.backends["backend-2"]
    backend.machine_id = ring.backends["backend-1"].machine_id
    del backend.programs["ip"]
    one, two = await identity(ssh, "backend-1"), await identity(ssh, "backend-2")
    assert (one.machine_id, two.addresses) == (two.machine_id, frozenset())


# fences


async def test_a_fenced_command_runs_and_is_logged_as_what_stands_in_it(ring: PracticeRing, ssh: Client) -> None:
    """Whoever reads the log sees the command of the plan, that it was fenced, and until when it might have begun."""
    line = sent()
    await ssh.out("backend-3", line)
    (ran,) = ring.ran("systemctl stop dovecot")
    assert (ran.command, ran.exit_status, ran.lock) == (STOP, 0, LOCK)
    assert ran.not_after is not None
    assert f"-lt {ran.not_after} ]" in line
    assert ring.refused == []


async def test_a_command_that_comes_too_late_by_the_hosts_own_clock_does_nothing(
    ring: PracticeRing, ssh: Client
) -> None:
    """The host's clock may be far off: it is asked for, and never compared with the bot's."""
    backend = ring.backends["backend-3"]
    backend.clock_off = timedelta(hours=1)
    assert (await ssh("backend-3", sent())).exit_status == LATE
    assert ring.ran("stop dovecot") == []
    assert [(ran.command, ran.exit_status) for ran in ring.refused] == [(STOP, LATE)]
    assert backend.serving
    clock = read_clock((await asked(ssh, "backend-3", CLOCK)).stdout)
    assert clock is not None
    assert (
        await ssh("backend-3", fenced(STOP, Fence(connection="1", not_after=clock + 5, lock=LOCK)))
    ).exit_status == 0


async def test_one_lock_keeps_two_commands_apart_and_is_free_again_at_the_end(ring: PracticeRing, ssh: Client) -> None:
    """A deletion that was given up still holds it; on directors there is no lock."""
    backend, seen = ring.backends["backend-3"], asyncio.Event()
    usual = backend.programs["systemctl"]

    async def until_seen(call: Call) -> Answer:
        await seen.wait()
        answer = usual(call)
        return answer if isinstance(answer, Answer) else await answer

    backend.programs["systemctl"] = until_seen
    connection = await ssh.connect("backend-3")
    first = asyncio.create_task(connection.run(sent()))
    await until(lambda: len(ring.ran("stop dovecot")) == 1, "the first began")
    locks = read_locks((await asked(ssh, "backend-3", lock_question(IP))).stdout)
    assert locks is not None
    assert locks.free == {LOCK: False, f"/run/lock/dovecot-bot-{IP}.lock": True}
    assert (await ssh("backend-3", sent("true"))).exit_status == LOCKED
    assert (await ssh("backend-3", sent("true", lock=None))).exit_status == 0
    seen.set()
    await first
    locks = read_locks((await asked(ssh, "backend-3", lock_question(IP))).stdout)
    assert locks is not None
    assert set(locks.free.values()) == {True}
    assert [(ran.command, ran.exit_status) for ran in ring.refused] == [("true", LOCKED)]


async def test_a_lock_that_cannot_be_made_is_66_and_a_host_may_have_no_flock(ring: PracticeRing, ssh: Client) -> None:
    """Preflight refuses such a host."""
    ring.backends["backend-3"].disk.remove("/home/practice")
    assert (await ssh("backend-3", sent())).exit_status == 66
    locks = read_locks((await asked(ssh, "backend-3", lock_question(IP))).stdout)
    assert locks is not None
    assert list(locks.free) == [f"/run/lock/dovecot-bot-{IP}.lock"]
    del ring.backends["backend-3"].programs["flock"]
    locks = read_locks((await asked(ssh, "backend-3", lock_question(IP))).stdout)
    assert locks is not None
    assert locks.free == {}


async def test_standard_input_and_the_exit_status_pass_through_a_fence(ring: PracticeRing, ssh: Client) -> None:
    """The proposed configuration is sent that way."""
    mkdir = await ssh("backend-3", sent("sudo -n -- sh -c 'mkdir -p /etc/new && exit 7'"))
    assert mkdir.exit_status == 7
    tar = "tar --extract --directory=/etc/new --no-same-owner --file=-"
    assert (await ssh("backend-3", sent(tar), input="none", encoding="utf-8")).exit_status == 2
    assert [ran.exit_status for ran in ring.ran("tar")] == [2]


# late, and after a reboot


@pytest.mark.parametrize("in_time", [True, False])
async def test_a_command_that_lay_in_the_network_comes_late_and_only_its_fence_stops_it(
    ring: PracticeRing, ssh: Client, in_time: bool
) -> None:
    """Its sender is long gone; without a fence it runs all the same."""
    ring.fault(Fault(matches="stop dovecot", when="late", what="cut", delay=timedelta(seconds=0.2)))
    line = sent(seconds=5 if in_time else 0)
    assert (await ssh("backend-3", line)).exit_status is None
    assert ring.log == ring.refused == []
    await until(lambda: bool(ring.refused or (ring.log and ring.log[0].finished)), "it came")
    assert ring.backends["backend-3"].serving is not in_time


async def test_a_reboot_ends_what_runs_and_frees_its_lock(ring: PracticeRing, ssh: Client) -> None:
    """Connections go too, and another boot id comes."""
    before = (await identity(ssh, "backend-3")).boot_id
    backend = ring.backends["backend-3"]
    backend.dovecot_unit.stop_takes = timedelta(seconds=60)
    connection = await ssh.connect("backend-3")
    stopping = asyncio.create_task(connection.run(sent()))
    await until(lambda: len(ring.ran("stop dovecot")) == 1, "the stop began")
    backend.reboot()
    with pytest.raises(asyncssh.Error):
        await asyncio.wait_for(connection.run("true", check=True), SECONDS)
    await asyncio.gather(stopping, return_exceptions=True)
    assert (await identity(ssh, "backend-3")).boot_id != before
    (ran,) = ring.ran("stop dovecot")
    assert (ran.exit_status, ran.finished is not None) == (None, True)
    assert backend.serving
    assert not backend.metacache_flushed
    locks = read_locks((await asked(ssh, "backend-3", lock_question(IP))).stdout)
    assert locks is not None
    assert set(locks.free.values()) == {True}


async def test_a_reboot_lifts_the_mask_of_this_boot_and_starts_what_is_enabled(ring: PracticeRing, ssh: Client) -> None:
    """So a backend that reboots while it is out may serve half upgraded."""
    backend = ring.backends["backend-3"]
    await ssh.out("backend-3", "systemctl stop dovecot")
    await ssh.out("backend-3", "systemctl mask --runtime dovecot")
    backend.reboot()
    assert (backend.serving, backend.dovecot_unit.masked) == (True, False)
    backend.dovecot_unit.file_state = "disabled"
    backend.reboot()
    assert not backend.serving
