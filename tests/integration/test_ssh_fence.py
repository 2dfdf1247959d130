"""Changes over real SSH: over the connection that was looked at and no other, refused by the host, never in a queue."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from bot.adapters.ssh.connection import AT_ONCE
from bot.core.hosts.command import Result
from bot.core.hosts.fence import CLOCK, fenced, lock_question
from bot.core.hosts.identity import QUESTION
from bot.errors import CameLate, MayHaveRun, NotRun, StillRuns
from tests.integration.machines import WHO, Site, fence, run, site
from tests.patience import PATIENCE, SECONDS

__all__ = ["site"]


# over which connection


async def test_a_change_goes_in_its_fence_over_the_connection_that_was_looked_at(site: Site) -> None:
    """People read the command in the journal and the thread as it is, not the fence around it."""
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port).model_copy(update={"sudo": True}), site.hosts()
    around = fence((await hosts.identity(host)).connection)
    result = await hosts.run(host, run("say", "it is", "done"), fence=around)
    assert (result.stdout, result.command) == ("it is done", "sudo -n -- say 'it is' done")
    assert machine.log == [fenced("sudo -n -- say 'it is' done", around)]
    assert result.connection == around.connection


async def test_material_goes_through_the_fence(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    around = fence((await hosts.identity(host)).connection)
    assert (await hosts.run(host, run("cat"), material=b"a tree", fence=around)).stdout == "a tree"


async def test_a_change_does_not_go_over_the_connection_that_came_after(site: Site) -> None:
    """The name may lead to another machine by now; what was looked at was the one before."""
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    around = fence((await hosts.identity(host)).connection)
    machine.connections[0].abort()
    await hosts.run(host, run("say", "a look"))
    with pytest.raises(NotRun, match=r"backend-1: .*on which it was looked at is gone, and nothing was run"):
        await hosts.run(host, run("say", "a change"), fence=around)
    assert machine.log == ["say 'a look'"]


async def test_a_change_makes_no_connection_of_its_own(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    around = fence((await hosts.identity(host)).connection)
    machine.connections[0].abort()
    for _ in range(2):  # the first finds out that it is dead
        with pytest.raises(NotRun, match="nothing was run"):
            await hosts.run(host, run("say", "a change"), fence=around)
    with pytest.raises(NotRun, match="is gone"):
        await site.hosts().run(host, run("say", "a change"), fence=around)
    assert (machine.log, len(machine.connections)) == ([], 1)


# what the host refuses


async def test_a_change_that_comes_late_was_certainly_not_run(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    connection = (await hosts.identity(host)).connection
    for lock in ("/home/bot/the.lock", None):
        with pytest.raises(CameLate, match=r"backend-1: .*came after the time .*nothing was run.*looked at anew"):
            await hosts.run(host, run("fail", "95"), fence=fence(connection, lock))
    assert (await hosts.run(host, run("fail", "95"))).exit_status == 95


async def test_a_change_that_finds_the_one_before_it_running_was_certainly_not_run(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    connection = (await hosts.identity(host)).connection
    with pytest.raises(StillRuns, match=r"backend-1: an earlier command .* holds /home/bot/the\.lock; .*nothing was"):
        await hosts.run(host, run("fail", "94"), fence=fence(connection))
    assert (await hosts.run(host, run("fail", "94"), fence=fence(connection, None))).exit_status == 94


async def test_a_change_whose_connection_is_lost_may_have_run_and_is_not_sent_again(site: Site) -> None:
    machine = await site.machine("backend-1")
    machine.says = WHO
    host, hosts = site.reach("backend-1", machine.port), site.hosts()
    with pytest.raises(MayHaveRun, match="may still be running"):
        await hosts.run(host, run("cut"), fence=fence((await hosts.identity(host)).connection))
    assert (len(machine.log), len(machine.connections)) == (1, 1)


# its own room


async def test_a_change_does_not_wait_behind_looks_that_hang(site: Site) -> None:
    """With a director whose doveadm hangs, looks take thirty seconds each, and users may be waiting."""
    machine = await site.machine("director-1")
    machine.says = WHO
    host, hosts = site.reach("director-1", machine.port), site.hosts()
    looks = [asyncio.create_task(hosts.run(host, run("hang", timeout=2 * PATIENCE))) for _ in range(AT_ONCE + 3)]
    await machine.begun(AT_ONCE)
    async with asyncio.timeout(SECONDS):
        connection = (await hosts.identity(host)).connection
        assert (await hosts.run(host, run("say", "clock", ahead=True))).stdout == "clock"
        assert (await hosts.run(host, run("say", "done"), fence=fence(connection, None))).stdout == "done"
    assert not any(look.done() for look in looks)
    await _given_up(looks)


def test_what_is_asked_for_a_change_goes_ahead_of_looks() -> None:
    assert all(question.ahead for question in (QUESTION, CLOCK, lock_question("backend-1")))


async def test_a_look_that_is_given_up_frees_its_place_at_once(site: Site) -> None:
    machine = await site.machine("director-1")
    host, hosts = site.reach("director-1", machine.port), site.hosts()
    looks = [asyncio.create_task(hosts.run(host, run("hang", timeout=2 * PATIENCE))) for _ in range(AT_ONCE)]
    await machine.begun(AT_ONCE)
    waiting = [asyncio.create_task(hosts.run(host, run("say", "next"))) for _ in range(AT_ONCE)]
    await _given_up(looks)
    async with asyncio.timeout(SECONDS):
        assert {result.stdout for result in await asyncio.gather(*waiting)} == {"next"}


async def _given_up(looks: Sequence[asyncio.Task[Result]]) -> None:
    for look in looks:
        look.cancel()
    await asyncio.gather(*looks, return_exceptions=True)
