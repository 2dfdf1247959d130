"""Who a host is, asked over real SSH: over the very connection that a change then goes over, and once for it."""

from __future__ import annotations

import asyncio

import pytest

from bot.errors import NotRun
from tests.integration.machines import BOOT_ID, MACHINE_ID, WHO, Site, run, site

__all__ = ["site"]


async def test_a_host_says_who_it_is_over_the_connection_that_is_kept_to_it(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    identity = await hosts.identity(host)
    assert (identity.reached, identity.machine_id, identity.boot_id) == ("127.0.0.1", MACHINE_ID, BOOT_ID)
    assert (await hosts.run(host, run("say"))).connection == identity.connection
    assert len(machine.connections) == 1


async def test_a_host_is_asked_once_per_connection_however_many_want_to_know(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    told = [*await asyncio.gather(*(hosts.identity(host) for _ in range(4))), await hosts.identity(host)]
    assert len(set(told)) == 1
    assert (machine.asked, len(machine.connections)) == (1, 1)


async def test_whoever_gives_up_asking_does_not_keep_the_next_one_from_it(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    await hosts.run(host, run("say"))
    asking = asyncio.create_task(hosts.identity(host))
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert (await hosts.identity(host)).machine_id == MACHINE_ID


async def test_another_connection_has_another_name_and_is_asked_itself(site: Site) -> None:
    """The same name may lead to another machine by then."""
    machine, other = await site.machine("backend-1"), await site.machine("backend-1")
    machine.says, other.says = WHO, WHO.replace(MACHINE_ID, "f" * 32)
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    before = await hosts.identity(host)
    site.config.write_text("")
    site.reach("backend-1", other.port)
    assert await hosts.identity(host) == before  # the connection is the same, and so is who is at its other end
    machine.connections[0].abort()
    await hosts.run(host, run("say"))
    after = await hosts.identity(host)
    assert (before.machine_id, after.machine_id) == (MACHINE_ID, "f" * 32)
    assert before.connection != after.connection


async def test_connections_of_two_bots_in_one_process_have_different_names(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host = site.reach("backend-1", machine.port)
    assert (await site.hosts().identity(host)).connection != (await site.hosts().identity(host)).connection


async def test_a_host_with_a_shell_of_its_own_can_be_looked_at_and_is_not_known(site: Site) -> None:
    """A director behind a forced command answers what it is asked for; only nothing is changed there."""
    machine = await site.machine("director-1")
    host, hosts = site.reach("director-1", machine.port), site.hosts()
    with pytest.raises(NotRun, match="director-1 does not say who it is"):
        await hosts.identity(host)
    assert (await hosts.run(host, run("say", "synced"))).stdout == "synced"
    machine.says = WHO  # mended, while the connection stands
    assert (await hosts.identity(host)).machine_id == MACHINE_ID
    assert len(machine.connections) == 1


async def test_a_look_asks_nobody_who_they_are(site: Site) -> None:
    machine = await site.machine("director-1")
    machine.says = WHO
    await site.hosts().run(site.reach("director-1", machine.port), run("say"))
    assert machine.asked == 0


async def test_a_host_that_breaks_off_over_the_question_is_not_known_and_nothing_may_have_run(site: Site) -> None:
    """The question changes nothing, so there is no doubt to be resolved."""
    machine = await site.machine("backend-1", answers="closes")
    with pytest.raises(NotRun, match=r"backend-1 was asked who it is and gave no answer"):
        await site.hosts().identity(site.reach("backend-1", machine.port))
    assert len(machine.connections) == 2  # the first could have been dead already


async def test_a_host_that_is_not_reached_is_not_known(site: Site, unused_tcp_port: int) -> None:
    with pytest.raises(NotRun, match="nothing listens on its SSH port"):
        await site.hosts().identity(site.reach("backend-1", unused_tcp_port))
