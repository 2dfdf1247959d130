"""Faults of the practice ring: connections cut, commands that hang or lie, hosts away; and its keys and its log."""

import asyncio
import io
import stat
import tarfile
from datetime import timedelta
from typing import Literal

import asyncssh
import pytest

from bot.practice.ring.ring import PracticeRing
from bot.practice.values import Fault
from tests.integration.sshclient import IP, Client, ring, ssh, until
from tests.patience import SECONDS

__all__ = ["ring", "ssh"]


# faults, the log, connections


async def test_a_cut_before_leaves_the_command_undone_and_unlogged(ring: PracticeRing, ssh: Client) -> None:
    """The client cannot tell this one from the next two."""
    ring.fault(Fault(host="director-1", matches=f"update {IP}", when="before", what="cut"))
    assert (await ssh("director-1", f"doveadm director update {IP} 0")).exit_status is None
    assert ring.ran("director update") == []
    await ssh.out("director-1", f"doveadm director update {IP} 0")
    assert [ran.exit_status for ran in ring.ran("director update")] == [0]


@pytest.mark.parametrize("when", ["during", "after"])
async def test_a_command_whose_connection_is_cut_runs_to_its_end(
    ring: PracticeRing, ssh: Client, when: Literal["during", "after"]
) -> None:
    """Its outcome is unknown to the client until it is looked up."""
    ring.fault(Fault(host="backend-1", matches="stop dovecot", when=when, what="cut"))
    assert (await ssh("backend-1", "systemctl stop dovecot")).exit_status is None
    await until(lambda: all(ran.exit_status == 0 for ran in ring.ran("stop dovecot")), "it ran to its end")
    (ran,) = ring.ran("stop dovecot", host="backend-1")
    assert ran.finished is not None
    assert ran.finished - ran.at >= timedelta(seconds=0.09)
    assert await ssh.out("backend-1", "systemctl show --property=ActiveState --value dovecot") == "inactive\n"


async def test_a_cut_does_not_take_the_input_from_a_command_that_has_begun(ring: PracticeRing, ssh: Client) -> None:
    """A tar that was being read is whole on the host."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        member = tarfile.TarInfo("big.conf")
        member.size = 300_000
        archive.addfile(member, io.BytesIO(b"#" * member.size))
    ring.fault(Fault(host="backend-1", matches="tar", when="during", what="cut"))
    command = "mkdir -p /etc/dovecot.new && tar --extract --directory=/etc/dovecot.new --no-same-owner --file=-"
    assert (await ssh("backend-1", command, input=packed.getvalue(), encoding=None)).exit_status is None
    await until(lambda: all(ran.exit_status == 0 for ran in ring.ran("tar")), "tar ended")
    assert len(ring.backends["backend-1"].disk.read("/etc/dovecot.new/big.conf") or b"") == member.size


@pytest.mark.parametrize(("when", "vhosts"), [("before", "100"), ("after", "0")])
async def test_an_exit_status_can_lie_about_what_was_done(
    ring: PracticeRing, ssh: Client, when: Literal["before", "after"], vhosts: str
) -> None:
    """75 is said both when nothing was done and when it was done and not confirmed."""
    ring.fault(Fault(matches="director update", when=when, what="exit", exit_status=75))
    assert (await ssh("director-1", f"doveadm director update {IP} 0")).exit_status == 75
    assert (await ssh.row("director-2"))["vhosts"] == vhosts


@pytest.mark.parametrize(("when", "vhosts"), [("before", "100"), ("after", "0")])
async def test_a_command_can_hang_while_others_on_the_same_connection_go_on(
    ring: PracticeRing, ssh: Client, when: Literal["before", "after"], vhosts: str
) -> None:
    """The bot has to have a time limit of its own."""
    ring.fault(Fault(host="director-1", matches="update", when=when, what="hang"))
    connection = await ssh.connect("director-1")
    hanging = asyncio.create_task(connection.run(f"doveadm director update {IP} 0"))
    await until(lambda: not ring._faults._armed, "the fault struck")
    assert (await ssh.row("director-1"))["vhosts"] == vhosts
    assert not hanging.done()
    hanging.cancel()


async def test_an_unreachable_host_drops_its_connections_and_takes_no_new_ones(ring: PracticeRing, ssh: Client) -> None:
    """And is there again afterwards, on the same port."""
    connection = await ssh.connect("backend-2")
    ring.backends["backend-2"].unreachable = True
    await asyncio.wait_for(connection.wait_closed(), SECONDS)
    with pytest.raises((asyncssh.Error, OSError)):
        await ssh("backend-2", "true")
    ring.backends["backend-2"].unreachable = False
    await ssh.out("backend-2", "true")


async def test_files_for_the_client_are_private_and_go_away_with_the_ring() -> None:
    """A key is a key, even for practice."""
    async with PracticeRing(directors=1, backends=1, users=0) as ring:
        directory = ring.directory
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()}
        assert modes == {"client_key": 0o600, "known_hosts": 0o600, "ssh_config": 0o600}
        with pytest.raises(asyncssh.PermissionDenied):
            await asyncssh.connect("backend-1", config=[str(ring.ssh_config)], client_keys=[], agent_path=None)
    assert not directory.exists()


async def test_keepalives_are_answered(ring: PracticeRing) -> None:
    """The bot notices a dead host by its silence, so a living one must not be silent."""
    connection = await asyncssh.connect(
        "backend-1", config=[str(ring.ssh_config)], keepalive_interval=0.02, keepalive_count_max=2
    )
    async with connection:
        until_then = asyncio.get_running_loop().time() + 0.2
        await until(lambda: asyncio.get_running_loop().time() > until_then, "several keepalives")
        assert (await connection.run("true")).exit_status == 0
