"""Commands over real SSH that did not end: what was certainly not run, and what may have run."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from pathlib import Path

import asyncssh
import pytest

from bot.adapters.ssh import configuration
from bot.core.hosts.inventory import Host
from bot.errors import MayHaveRun, NotRun
from tests.integration.machines import Site, relay, run, silent, site
from tests.patience import PATIENCE, SECONDS

__all__ = ["site"]


# certainly not run


async def test_where_nothing_listens_nothing_is_run(site: Site, unused_tcp_port: int) -> None:
    host = site.reach("backend-1", unused_tcp_port)
    with pytest.raises(NotRun, match=f"bot@127.0.0.1 port {unused_tcp_port}.*nothing listens on its SSH port"):
        await site.hosts().run(host, run("say"))


async def test_a_host_without_an_address_is_told(site: Site) -> None:
    with pytest.raises(NotRun, match=r"backend-1.*its name has no address"):
        await site.hosts().run(Host(name="backend-1", ssh="nowhere.invalid"), run("say"))


async def test_a_host_that_does_not_let_the_bot_in_is_told(site: Site) -> None:
    machine = await site.machine("backend-1")
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(str(site.folder / "id"))
    with pytest.raises(NotRun, match=r"it does not let bot in.*authorized_keys"):
        await site.hosts().run(site.reach("backend-1", machine.port), run("say"))


async def test_a_missing_key_file_is_told_by_its_name(site: Site) -> None:
    machine = await site.machine("backend-1")
    (site.folder / "id").unlink()
    with pytest.raises(NotRun, match=str(site.folder / "id")):
        await site.hosts().run(site.reach("backend-1", machine.port), run("say"))


async def test_a_missing_ssh_config_is_told_by_its_name(site: Site) -> None:
    with pytest.raises(NotRun, match="/nowhere/config"):
        await site.hosts(config=[Path("/nowhere/config")]).run(Host(name="backend-1"), run("say"))


async def test_a_host_that_says_nothing_is_given_up_in_time_by_all_who_wait(site: Site) -> None:
    """Whoever comes second waits for the first one's connection, and must not wait for its turn to fail."""
    async with silent() as (port, came):
        host, hosts = site.reach("backend-1", port), site.hosts(connect_timeout=timedelta(seconds=1))
        ended = await asyncio.gather(*(hosts.run(host, run("say")) for _ in range(8)), return_exceptions=True)
    assert len(came) < len(ended)  # one, where all have read the SSH configuration by the time the first gives up
    assert all(isinstance(one, NotRun) for one in ended)
    assert f"bot@127.0.0.1 port {port}): no answer within 1 s" in str(ended[0])


async def test_an_ssh_config_that_hangs_is_given_up_and_told_apart_from_a_host_that_does(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = site.folder / "hangs"
    config.write_text('Match exec "sleep 1"\n')
    monkeypatch.setattr(configuration, "READING", timedelta(seconds=0.1))  # nobody waits ten seconds for a test
    with pytest.raises(NotRun, match=r"SSH configuration .* backend-1 within 0.1 s.*Match exec"):
        await site.hosts(config=[config]).run(Host(name="backend-1"), run("say"))


async def test_an_ssh_config_that_hangs_for_one_host_keeps_no_other_from_being_reached(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Match exec` asks whether a jump host is there, and its line is cut; the watch of that run tries again and again.

    Each try had a thread of the pool that all of the bot shares, until none was left.
    """
    monkeypatch.setattr(configuration, "READING", timedelta(seconds=0.02))
    asked, goes_on = site.folder / "asked", site.folder / "goes on"
    os.mkfifo(goes_on)
    site.config.write_text(f"Match host backend-1 exec \"echo once >> {asked}; read line < '{goes_on}'\"\nMatch all\n")
    machine = await site.machine("backend-2")
    other, hosts = site.reach("backend-2", machine.port), site.hosts()
    threads = threading.active_count()
    try:
        for _ in range(20):
            with pytest.raises(NotRun, match=r"says nothing of backend-1 within .* end that program"):
                await hosts.run(Host(name="backend-1"), run("say"))
        assert threading.active_count() - threads <= 1
        assert asked.read_text() == "once\n"
        monkeypatch.setattr(configuration, "READING", PATIENCE)
        assert (await hosts.run(other, run("say", "there"))).stdout == "there"
    finally:
        os.close(os.open(goes_on, os.O_WRONLY | os.O_NONBLOCK))


async def test_what_an_ssh_config_says_is_read_once_for_a_connection(site: Site) -> None:
    """asyncssh would read it again, in the pool: there nobody gives a `Match exec` up that hangs the second time."""
    machine, asked = await site.machine("backend-1"), site.folder / "asked"
    site.config.write_text(f'Match host backend-1 exec "echo once >> {asked}"\nMatch all\n')
    assert (await site.hosts().run(site.reach("backend-1", machine.port), run("say", "x"))).stdout == "x"
    assert asked.read_text() == "once\n"


@pytest.mark.parametrize("answers", ["no session", "no command"])
async def test_a_host_that_refuses_the_command_has_not_run_it(site: Site, answers: str) -> None:
    machine = await site.machine("backend-1", answers=answers)
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    for _ in range(2):
        with pytest.raises(NotRun, match="took no command"):
            await hosts.run(host, run("say"))
    assert len(machine.connections) == 1


# may have run


async def test_a_connection_lost_while_it_runs_leaves_it_in_doubt(site: Site) -> None:
    machine = await site.machine("backend-1")
    with pytest.raises(MayHaveRun, match="its answer was not heard"):
        await site.hosts().run(site.reach("backend-1", machine.port), run("cut"))
    assert machine.log == ["cut"]


@pytest.mark.parametrize("answers", ["disconnects", "closes", "yes, then disconnects"])
async def test_a_connection_lost_with_the_answer_leaves_it_in_doubt(site: Site, answers: str) -> None:
    """asyncssh tells a closed connection and a refused command in the same words; the command was sent."""
    machine = await site.machine("backend-1", answers=answers)
    with pytest.raises(MayHaveRun):
        await site.hosts().run(site.reach("backend-1", machine.port), run("say"))
    assert machine.log == ["say"]


async def test_a_channel_that_closes_without_an_exit_status_leaves_it_in_doubt(site: Site) -> None:
    machine = await site.machine("backend-1")
    with pytest.raises(MayHaveRun, match="without an exit status"):
        await site.hosts().run(site.reach("backend-1", machine.port), run("vanish"))


async def test_a_command_that_does_not_end_is_left_after_its_time(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    with pytest.raises(MayHaveRun, match=r"no end within 0.2 s"):
        await hosts.run(host, run("hang", timeout=timedelta(seconds=0.2)))
    assert (await hosts.run(host, run("say", "next"))).stdout == "next"
    assert len(machine.connections) == 1


async def test_a_peer_that_has_died_is_noticed_after_three_keepalives(site: Site) -> None:
    """Without it a command without an end would be waited for until its own time is over: for an upgrade, minutes."""
    machine = await site.machine("backend-1")
    async with relay(machine.port) as line:
        site.know(machine, port=line.port)
        host = site.reach("backend-1", line.port)
        hanging = run("hang", timeout=2 * PATIENCE)
        running = asyncio.create_task(site.hosts(keepalive=timedelta(seconds=0.1)).run(host, hanging))
        await machine.begun(1)
        line.open.clear()
        async with asyncio.timeout(SECONDS):
            with pytest.raises(MayHaveRun, match="keepalive"):
                await running


async def test_a_command_that_nobody_waits_for_any_more_leaves_no_channel_open(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    for _ in range(20):
        running = asyncio.create_task(hosts.run(host, run("hang")))
        await machine.begun(len(machine.log) + 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert (await hosts.run(host, run("say", "next"))).stdout == "next"
    assert len(machine.connections) == 1
    assert len(machine.connections[0]._channels) <= 1


async def test_a_command_cancelled_before_it_was_sent_is_not_sent_later(site: Site) -> None:
    """The line is dead while it is cancelled, and comes back: the command must not run behind everybody's back."""
    machine = await site.machine("backend-1")
    async with relay(machine.port) as line:
        site.know(machine, port=line.port)
        host, hosts = site.reach("backend-1", line.port), site.hosts()
        await hosts.run(host, run("say", "before"))
        line.open.clear()
        with pytest.raises(NotRun, match="no end within"):
            await hosts.run(host, run("say", "never", timeout=timedelta(seconds=0.1)))
        line.open.set()
        await hosts.run(host, run("say", "after"))
    assert machine.log == ["say before", "say after"]


async def test_closing_ends_what_runs_and_begins_nothing_new(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    running = asyncio.create_task(hosts.run(host, run("hang")))
    await machine.begun(1)
    await hosts.close()
    with pytest.raises(MayHaveRun):
        await running
    with pytest.raises(NotRun, match="the bot is stopping"):
        await hosts.run(host, run("say"))
    assert machine.log == ["hang"]
