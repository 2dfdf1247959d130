"""Commands over real SSH, against a small server of the test's own: what ended, what was not run, what may have run."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from bot.adapters.ssh.hosts import AT_ONCE
from bot.core.command import OUTPUT_KEPT, Command
from bot.core.inventory import Host
from bot.errors import MayHaveRun, NotRun
from tests.fakes import MORNING
from tests.integration.machines import Site, relay, silent


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(tmp_path, stack)


def run(*argv: str, **more: Any) -> Command:
    return Command(argv=argv, **{"timeout": timedelta(seconds=5), **more})


# what ended


async def test_a_command_answers_with_its_output_and_its_time(site: Site) -> None:
    machine = await site.machine("backend-1")
    result = await site.hosts().run(site.reach("backend-1", machine.port), run("say", "hello"))
    assert (result.host, result.exit_status, result.stdout, result.stdout_bytes) == ("backend-1", 0, "hello", 5)
    assert result.began == MORNING
    assert timedelta(0) < result.took < timedelta(seconds=5)


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
    running = [asyncio.create_task(hosts.run(host, run("hang", timeout=timedelta(seconds=0.3)))) for _ in range(12)]
    await machine.begun(AT_ONCE)
    assert len(machine.log) == AT_ONCE
    await asyncio.gather(*running, return_exceptions=True)
    assert len(machine.log) == 12


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


# host keys


async def test_an_unknown_host_key_is_not_run_and_says_how_to_add_it(site: Site) -> None:
    machine = await site.machine("backend-1", known=False)
    with pytest.raises(NotRun, match="its host key is not known") as refused:
        await site.hosts().run(site.reach("backend-1", machine.port), run("say"))
    text = str(refused.value)
    assert machine.host_key.get_fingerprint() in text
    assert f"`ssh-keyscan -p {machine.port} 127.0.0.1 >> {site.known_hosts}`" in text
    assert "compare" in text
    assert machine.log == []


async def test_a_changed_host_key_is_called_what_it_may_be(site: Site) -> None:
    machine = await site.machine("backend-1", known=False)
    former = asyncssh.generate_private_key("ssh-ed25519")
    site.know(machine, key=former)
    with pytest.raises(NotRun, match="HOST KEY HAS CHANGED") as refused:
        await site.hosts().run(site.reach("backend-1", machine.port), run("say"))
    text = str(refused.value)
    assert former.get_fingerprint() in text
    assert machine.host_key.get_fingerprint() in text
    assert "intercepting" in text
    assert "ssh-keyscan" not in text


async def test_a_host_key_of_another_kind_is_a_changed_one(site: Site) -> None:
    machine = await site.machine("backend-1", known=False)
    site.know(machine, key=asyncssh.generate_private_key("ecdsa-sha2-nistp256"))
    with pytest.raises(NotRun, match="HOST KEY HAS CHANGED"):
        await site.hosts().run(site.reach("backend-1", machine.port), run("say"))


@pytest.mark.parametrize("said", ["none", "/dev/null", "/nowhere/known_hosts"])
@pytest.mark.parametrize("more", [(), ("StrictHostKeyChecking no",)])
async def test_no_ssh_config_turns_the_verification_off(site: Site, said: str, more: tuple[str, ...]) -> None:
    """asyncssh takes `UserKnownHostsFile none` as: trust everybody."""
    machine = await site.machine("backend-1", known=False)
    host = site.reach("backend-1", machine.port, f"UserKnownHostsFile {said}", *more)
    for known_hosts in (None, site.known_hosts):
        with pytest.raises(NotRun, match="its host key is not known"):
            await site.hosts(known_hosts=known_hosts).run(host, run("say"))


async def test_the_known_hosts_file_of_the_ssh_config_counts(site: Site) -> None:
    machine = await site.machine("backend-1")
    host = site.reach("backend-1", machine.port, f"UserKnownHostsFile {site.known_hosts}")
    other = site.folder / "other"
    for known_hosts in (None, other):
        assert (await site.hosts(known_hosts=known_hosts).run(host, run("say", "x"))).stdout == "x"


async def test_a_hint_for_an_alias_adds_the_key_under_the_alias(site: Site) -> None:
    machine = await site.machine("backend-1", known=False)
    host = site.reach("backend-1", machine.port, "HostKeyAlias the-real-one")
    with pytest.raises(NotRun, match=r"127\.0\.0\.1 \| sed 's/\^\[\^ #\]\*/the-real-one/' >> "):
        await site.hosts().run(host, run("say"))


async def test_a_known_hosts_file_that_cannot_be_read_is_said(site: Site) -> None:
    machine = await site.machine("backend-1")
    site.known_hosts.write_text("nonsense\n")
    with pytest.raises(NotRun, match="a file of its SSH config cannot be used"):
        await site.hosts().run(site.reach("backend-1", machine.port), run("say"))


# jump hosts


async def test_a_host_behind_a_jump_host_is_reached_through_it(site: Site) -> None:
    jump, machine = await site.machine("jump"), await site.machine("backend-1")
    site.reach("jump", jump.port)
    host = site.reach("backend-1", machine.port, "ProxyJump jump")
    other = site.reach("backend-2", machine.port, f"ProxyJump bot@jump:{jump.port}")
    hosts = site.hosts()
    assert (await hosts.run(host, run("say", "far"))).stdout == "far"
    assert (await hosts.run(other, run("say", "away"))).stdout == "away"
    assert (len(jump.connections), jump.log) == (2, [])


async def test_hosts_behind_the_same_jump_host_share_its_connection(site: Site) -> None:
    jump, machine = await site.machine("jump"), await site.machine("backend-1")
    site.reach("jump", jump.port)
    ways = [site.reach(f"backend-{n}", machine.port, "ProxyJump jump") for n in range(5)]
    hosts = site.hosts()
    await asyncio.gather(*(hosts.run(way, run("say")) for way in ways))
    assert (len(jump.connections), len(machine.connections)) == (1, 5)


async def test_two_jump_hosts_are_gone_through_in_order(site: Site) -> None:
    first, second, machine = [await site.machine(name) for name in ("first", "second", "backend-1")]
    site.reach("first", first.port)
    site.reach("second", second.port)
    host = site.reach("backend-1", machine.port, "ProxyJump first,second")
    assert (await site.hosts().run(host, run("say", "far"))).stdout == "far"
    assert [len(way.connections) for way in (first, second, machine)] == [1, 1, 1]


async def test_the_jump_hosts_own_key_is_verified_too(site: Site) -> None:
    """asyncssh would open it with its defaults: another known_hosts file, or none."""
    jump, machine = await site.machine("jump", known=False), await site.machine("backend-1")
    site.reach("jump", jump.port, "UserKnownHostsFile none")
    host = site.reach("backend-1", machine.port, "ProxyJump jump")
    with pytest.raises(NotRun, match=r"backend-1: no SSH connection.*jump .*its host key is not known"):
        await site.hosts().run(host, run("say"))
    assert machine.connections == []


async def test_the_hint_for_a_host_behind_a_jump_host_goes_through_it(site: Site) -> None:
    jump, machine = await site.machine("jump"), await site.machine("backend-1", known=False)
    site.reach("jump", jump.port)
    host = site.reach("backend-1", machine.port, "ProxyJump jump")
    with pytest.raises(NotRun, match=f"`ssh jump ssh-keyscan -p {machine.port} 127.0.0.1 >> "):
        await site.hosts().run(host, run("say"))


async def test_jump_hosts_in_a_circle_are_told_and_not_followed(site: Site) -> None:
    one = site.reach("one", 1, "ProxyJump two")
    site.reach("two", 1, "ProxyJump one")
    with pytest.raises(NotRun, match="goes round in a circle"):
        await site.hosts().run(one, run("say"))


async def test_a_jump_host_for_every_host_is_itself_reached_directly(site: Site) -> None:
    jump, machine = await site.machine("jump"), await site.machine("backend-1")
    site.reach("jump", jump.port)
    host = site.reach("backend-1", machine.port)
    with site.config.open("a") as file:
        file.write("Host *\nProxyJump jump\n")
    assert (await site.hosts().run(host, run("say", "far"))).stdout == "far"
    assert len(jump.connections) == 1


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
    async with silent() as port:
        host, hosts = site.reach("backend-1", port), site.hosts(connect_timeout=timedelta(seconds=0.2))
        async with asyncio.timeout(1):
            ended = await asyncio.gather(*(hosts.run(host, run("say")) for _ in range(8)), return_exceptions=True)
    assert all(isinstance(one, NotRun) for one in ended)
    assert f"bot@127.0.0.1 port {port}): no answer within 0.2 s" in str(ended[0])


@pytest.mark.parametrize("answers", ["no session", "no command"])
async def test_a_host_that_refuses_the_command_has_not_run_it(site: Site, answers: str) -> None:
    machine = await site.machine("backend-1", answers=answers)
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    for _ in range(2):
        with pytest.raises(NotRun, match="took no command, and nothing was run"):
            await hosts.run(host, run("say"))
    assert len(machine.connections) == 1


# may have run


async def test_a_connection_lost_while_it_runs_leaves_it_in_doubt(site: Site) -> None:
    machine = await site.machine("backend-1")
    with pytest.raises(MayHaveRun, match="may still be running"):
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
        running = asyncio.create_task(site.hosts(keepalive=timedelta(seconds=0.1)).run(host, run("hang")))
        await machine.begun(1)
        line.open.clear()
        async with asyncio.timeout(2):
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
