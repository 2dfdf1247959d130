"""Commands over real SSH, against a small server of the test's own: what ended, and on which connection."""

from __future__ import annotations

import asyncio
import os
import resource
from datetime import timedelta

import pytest

from bot.adapters.ssh.connection import AT_ONCE
from bot.adapters.ssh.connections import IDLE
from bot.core.hosts.command import OUTPUT_KEPT
from bot.errors import NotRun
from tests.fakes import MORNING, FakeClock
from tests.integration.machines import Site, run, site
from tests.patience import PATIENCE, SECONDS

__all__ = ["site"]


# what ended


async def test_a_command_answers_with_its_output_and_its_time(site: Site) -> None:
    machine = await site.machine("backend-1")
    result = await site.hosts().run(site.reach("backend-1", machine.port), run("say", "hello"))
    assert (result.host, result.exit_status, result.stdout, result.stdout_bytes) == ("backend-1", 0, "hello", 5)
    assert result.began == MORNING
    assert timedelta(0) < result.took < timedelta(seconds=5)


async def test_answers_are_asked_for_in_english(site: Site) -> None:
    """They are read: what is not there was once told from what cannot be read by English words alone."""
    machine = await site.machine("backend-1")
    assert (await site.hosts().run(site.reach("backend-1", machine.port), run("locale"))).stdout == "C"


async def test_arguments_arrive_as_they_were_given(site: Site) -> None:
    machine = await site.machine("backend-1")
    await site.hosts().run(site.reach("backend-1", machine.port), run("say", "a b", "$(reboot)", "'"))
    assert machine.log == ["""say 'a b' '$(reboot)' ''"'"''"""]


async def test_sudo_stands_before_what_needs_root_and_nothing_else(site: Site) -> None:
    machine = await site.machine("backend-1")
    host = site.reach("backend-1", machine.port).model_copy(update={"sudo": True})
    hosts = site.hosts()
    result = await hosts.run(host, run("say", "root"))
    await hosts.run(host, run("say", "anybody", root=False))
    assert machine.log == ["sudo -n -- say root", "say anybody"]
    assert result.command == "sudo -n -- say root"


async def test_a_refusing_sudo_is_an_exit_status_like_any_other(site: Site) -> None:
    machine = await site.machine("backend-1")
    result = await site.hosts().run(site.reach("backend-1", machine.port), run("fail", "1"))
    assert (result.exit_status, result.stderr) == (1, "sudo: a password is required\n")


async def test_a_command_ended_by_a_signal_exits_as_a_shell_says_it(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    assert (await hosts.run(host, run("die", "KILL"))).exit_status == 137
    assert (await hosts.run(host, run("die", "NOSUCH@test"))).exit_status == 128


async def test_material_goes_to_standard_input_and_then_it_ends(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    material = bytes(range(256)) * 20_000
    result = await hosts.run(host, run("cat", keeps_output=False), material=material)
    assert result.stdout_bytes == len(material)
    assert (await hosts.run(host, run("cat"))).stdout == ""


async def test_a_command_that_does_not_read_its_input_ends_all_the_same(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    assert (await hosts.run(host, run("fail", "3"), material=bytes(4_000_000))).exit_status == 3


async def test_output_is_bounded_in_what_is_kept_and_all_of_it_is_counted(site: Site) -> None:
    machine = await site.machine("backend-1")
    many = OUTPUT_KEPT * 100
    result = await site.hosts().run(site.reach("backend-1", machine.port), run("flood", str(many)))
    assert (len(result.stdout), len(result.stderr)) == (OUTPUT_KEPT, OUTPUT_KEPT)
    assert result.stdout_bytes == many
    assert result.cut_short


async def test_a_command_says_itself_how_much_of_its_output_is_kept(site: Site) -> None:
    """A comparison of two configurations is shown whole, and is longer than what others print."""
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    more = await hosts.run(host, run("flood", str(OUTPUT_KEPT * 3), keeps=OUTPUT_KEPT * 2))
    assert (len(more.stdout), len(more.stderr), more.kept) == (OUTPUT_KEPT * 2, OUTPUT_KEPT * 2, OUTPUT_KEPT * 2)
    assert more.cut_short
    assert not (await hosts.run(host, run("flood", str(OUTPUT_KEPT * 2), keeps=OUTPUT_KEPT * 2))).cut_short
    nothing = await hosts.run(host, run("flood", "20", keeps=10, keeps_output=False))
    assert (nothing.stdout, nothing.stdout_bytes, nothing.stderr) == ("", 20, "y" * 10)


async def test_mail_is_counted_and_never_kept(site: Site) -> None:
    """`doveadm fetch` prints somebody's mail; what it complains of is still wanted."""
    machine = await site.machine("backend-1")
    result = await site.hosts().run(site.reach("backend-1", machine.port), run("flood", "10", keeps_output=False))
    assert (result.stdout, result.stdout_bytes, result.stderr) == ("", 10, "y" * 10)


async def test_output_is_text_without_control_characters(site: Site) -> None:
    """A terminal or Slack that shows it must not be steered by it."""
    machine = await site.machine("backend-1")
    result = await site.hosts().run(site.reach("backend-1", machine.port), run("binary"))
    assert (
        result.stdout == "grüße\t\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}\nend\n"
    )


# one connection a host


async def test_commands_at_the_same_time_share_one_connection(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    results = await asyncio.gather(*(hosts.run(host, run("say", str(n))) for n in range(30)))
    assert [result.stdout for result in results] == [str(n) for n in range(30)]
    assert len(machine.connections) == 1


async def test_a_host_gets_no_more_commands_at_once_than_its_sshd_takes(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    await hosts.run(host, run("say"))  # who comes first from here on is served first
    running = [asyncio.create_task(hosts.run(host, run("hang", timeout=2 * PATIENCE))) for _ in range(2 * AT_ONCE)]
    await machine.begun(1 + AT_ONCE)
    assert len(machine.log) == 1 + AT_ONCE
    for one in running[:AT_ONCE]:
        one.cancel()
    await machine.begun(1 + 2 * AT_ONCE)
    for one in running:
        one.cancel()
    await asyncio.gather(*running, return_exceptions=True)


async def test_a_lost_connection_is_made_anew_at_the_next_command(site: Site) -> None:
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    await hosts.run(host, run("say", "one"))
    machine.connections[0].abort()
    assert (await hosts.run(host, run("say", "two"))).stdout == "two"
    assert len(machine.connections) == 2
    assert machine.log == ["say one", "say two"]


async def test_a_connection_that_fails_to_begin_does_not_stop_the_next_one(site: Site) -> None:
    machine = await site.machine("backend-1", known=False)
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    with pytest.raises(NotRun):
        await hosts.run(host, run("say", "one"))
    site.know(machine)
    assert (await hosts.run(host, run("say", "two"))).stdout == "two"


# a bot that is up for weeks


async def test_a_connection_that_nobody_uses_is_closed_and_the_next_command_gets_a_new_one(site: Site) -> None:
    """systemd gives a service 1,024 descriptors: after a thousand hosts nothing could be reached any more."""
    machine, clock = await site.machine("backend-1"), FakeClock()
    host, hosts = site.reach("backend-1", machine.port), site.hosts(clock=clock)
    before = await hosts.run(host, run("say"))
    clock.advance(IDLE)
    async with asyncio.timeout(SECONDS):
        await machine.connections[0].wait_closed()
    after = await hosts.run(host, run("say"))
    assert (len(machine.connections), before.connection == after.connection) == (2, False)


async def test_no_connection_is_closed_under_a_command_nor_soon_after_one(site: Site) -> None:
    """A change goes over the connection that was looked over before it, and may itself take long."""
    machine, clock = await site.machine("backend-1"), FakeClock()
    host, hosts = site.reach("backend-1", machine.port), site.hosts(clock=clock)
    running = asyncio.create_task(hosts.run(host, run("hang", timeout=PATIENCE)))
    await machine.begun(1)
    clock.advance(2 * IDLE)
    await hosts.run(host, run("say"))
    running.cancel()
    await asyncio.wait({running})
    clock.advance(IDLE / 2)
    await hosts.run(host, run("say"))
    assert len(machine.connections) == 1


async def test_a_jump_host_is_kept_as_long_as_what_is_reached_through_it(site: Site) -> None:
    jump, machine, clock = await site.machine("jump"), await site.machine("backend-1"), FakeClock()
    site.reach("jump", jump.port)
    host, hosts = site.reach("backend-1", machine.port, "ProxyJump jump"), site.hosts(clock=clock)
    for _ in range(4):
        await hosts.run(host, run("say"))
        clock.advance(IDLE / 2)
    await hosts.run(host, run("say"))
    assert (len(jump.connections), len(machine.connections)) == (1, 1)
    clock.advance(IDLE)
    async with asyncio.timeout(SECONDS):
        await machine.connections[0].wait_closed()
        clock.advance(IDLE)
        await jump.connections[0].wait_closed()


async def test_a_bot_without_a_file_descriptor_left_says_so(site: Site) -> None:
    """It said that the bot's user is not known, or that a host's name has no address."""
    machine = await site.machine("backend-1")
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    os.close(first_free := os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (first_free, before[1]))
    try:
        with pytest.raises(NotRun, match=r"Too many open files.*LimitNOFILE"):
            await hosts.run(host, run("say"))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
