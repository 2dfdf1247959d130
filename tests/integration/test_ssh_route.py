"""The way to a host over real SSH: whose key is believed, and which jump hosts lie between."""

from __future__ import annotations

import asyncio
import socket

import asyncssh
import pytest

from bot.adapters.ssh.connection import Connection
from bot.adapters.ssh.connections import UNACKNOWLEDGED, _Known, _Witness
from bot.errors import NotRun
from tests.integration.machines import Site, run, site

__all__ = ["site"]


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


async def test_what_is_known_counts_as_it_stands_when_a_connection_is_made(site: Site) -> None:
    """It is read once for many connections: a key that was added since has to be known, one that was taken out not."""
    first, second = await site.machine("backend-1", known=False), await site.machine("backend-2", known=False)
    hosts = site.hosts()
    reached = site.reach("backend-1", first.port), site.reach("backend-2", second.port)
    with pytest.raises(NotRun, match="its host key is not known"):
        await hosts.run(reached[0], run("say"))
    site.know(first)
    assert (await hosts.run(reached[0], run("say", "x"))).stdout == "x"
    another = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode()
    site.known_hosts.write_text(f"[127.0.0.1]:{second.port} {another}")
    with pytest.raises(NotRun, match="HOST KEY HAS CHANGED"):
        await hosts.run(reached[1], run("say"))


def test_what_is_known_is_read_once_while_its_file_stays_as_it_is(site: Site) -> None:
    """With a hundred hosts it was a hundred times a hundred keys, and every connection kept its own."""
    known = _Known()
    files = (site.known_hosts, site.folder / "not there")
    before = known.of(files)
    assert known.of(files) is before
    site.known_hosts.write_text("# another line\n")
    assert known.of(files) is not before


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


# the network itself


def option(connection: Connection | None, name: int, level: int = socket.IPPROTO_TCP) -> int:
    assert connection is not None
    found: int = connection.ssh.get_extra_info("socket").getsockopt(level, name)
    return found


async def test_what_the_network_does_not_acknowledge_is_given_up_before_a_fence_closes(site: Site) -> None:
    """The kernel would try for a quarter of an hour, and bring a change to its host long after it was given up."""
    jump, machine = await site.machine("jump"), await site.machine("backend-1")
    ways = [
        site.reach("jump", jump.port, "TCPKeepAlive no"),
        site.reach("backend-1", machine.port),
        site.reach("backend-2", machine.port, "ProxyJump jump"),
    ]
    hosts = site.hosts()
    for way in ways:
        await hosts.run(way, run("say"))
    for way in ways:
        connection = hosts._connections.live(way.address)
        assert option(connection, socket.TCP_USER_TIMEOUT) == UNACKNOWLEDGED.total_seconds() * 1000 < 10_000
        assert option(connection, socket.SO_KEEPALIVE, socket.SOL_SOCKET) == 1
        idle, every, count = (
            option(connection, name) for name in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert idle + every * count <= UNACKNOWLEDGED.total_seconds()


def test_a_connection_through_a_proxy_command_is_left_as_it_is() -> None:
    """It is a program's, without a socket. (asyncssh does not wait for that program's end, so none is started here.)"""

    class Proxied(asyncssh.SSHClientConnection):
        def __init__(self) -> None:
            """It was made by nobody."""

        def get_extra_info(self, name: str, default: object = None) -> object:
            assert name == "socket"
            return default

    _Witness().connection_made(Proxied())
