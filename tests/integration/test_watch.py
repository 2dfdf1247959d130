"""The ring while a backend is out: who changes it is seen, and it is set back, in the safe direction only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import pytest

from bot.core.decisions.approval import Person
from bot.core.decisions.decide import Retry
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from tests.build import REQUESTER
from tests.integration.place import RUN, Place, a_place
from tests.patience import SECONDS


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with a_place() as made:
        yield made


async def test_a_restarted_director_that_says_100_again_is_set_back(place: Place) -> None:
    await place.until(lambda run: run.status is Status.ASKING)
    place.ring.restart_director("director-2")
    run = await place.until(lambda run: run.ring.deviations > 0)
    assert run.status is Status.ASKING
    (seen,) = await place.facts(fact.RingDeviated)
    assert isinstance(seen, fact.RingDeviated)
    assert seen.host == "director-2"
    async with asyncio.timeout(SECONDS):
        while not await place.facts(fact.RingSetBack) or place.vhosts() != [0, 0]:
            await asyncio.sleep(0.02)


async def test_an_emptied_ring_is_set_back_with_its_flush_while_the_backend_is_stopped(place: Place) -> None:
    """All directors restarted: users would be sent to a stopped backend until somebody says so again."""
    await place.approve()
    await place.until(
        lambda run: run.status is Status.ASKING and run.step is not None and run.step.name == "approve-restore"
    )
    place.ring.restart_all_directors()
    async with asyncio.timeout(SECONDS):
        while {getattr(one, "step", "") for one in await place.facts(fact.RingSetBack)} < {"director-down"}:
            await asyncio.sleep(0.02)
    await place.until(lambda run: run.ring.deviations > 0)
    async with asyncio.timeout(SECONDS):
        while place.vhosts() != [0, 0] or place.ring.users_on("backend-3"):
            await asyncio.sleep(0.02)


def _deviated(times: int, run: Run) -> bool:
    return run.ring.deviations >= times


async def test_the_third_time_the_run_holds_and_a_retry_goes_on(place: Place) -> None:
    await place.until(lambda run: run.status is Status.ASKING)
    ip = place.ring.backends["backend-3"].ip
    for times in (1, 2, 3):
        await place.say("director-1", f"doveadm director update {ip} 100")
        await place.until(partial(_deviated, times))
        async with asyncio.timeout(SECONDS):
            while len(await place.facts(fact.RingSetBack)) < times:
                await asyncio.sleep(0.02)
    assert place.vhosts() == [0, 0]
    run = await place.until(lambda run: run.status is Status.HELD)
    assert "users again 3 times" in run.reason
    assert not place.ring.ran("systemctl stop")
    person = Person(id=REQUESTER, may_ask=True, may_approve=True)
    await place.service.steer(RUN, Retry(person=person, held=run.held))
    await place.approve()
    await place.until(lambda run: run.step is not None and run.step.name == "approve-restore")


async def test_the_ring_is_watched_still_when_a_run_holds_between_the_approval_and_the_restore(place: Place) -> None:
    """Dovecot has died meanwhile: a ring that forgets now would send users to it."""
    await place.approve()
    await place.at("approve-restore")
    await place.until(lambda run: run.status is Status.ASKING)
    await place.ring.backends["backend-3"].dovecot_unit.stop()
    await place.approve()
    await place.until(lambda run: run.status is Status.HELD)
    await place.say("director-1", f"doveadm director update {place.ring.backends['backend-3'].ip} 100")
    async with asyncio.timeout(SECONDS):
        while not await place.facts(fact.RingSetBack) or place.vhosts() != [0, 0]:
            await asyncio.sleep(0.02)


async def test_nothing_is_set_back_once_the_backend_is_given_users_again(place: Place) -> None:
    """The run's own restore must not be taken for somebody else's hand."""
    await place.approve()
    await place.until(lambda run: run.step is not None and run.step.name == "approve-restore")
    await place.approve()
    await place.until(lambda run: run.status is Status.ENDED)
    assert await place.facts(fact.RingDeviated) == []
    assert place.vhosts() == [100, 100]
