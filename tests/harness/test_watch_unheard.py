"""What the watch does not hear, or hears late: a slow or silent director, a backend that is off, a flush under way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.errors import MayHaveRun
from tests.harness.drill import ROUND, Drill, a_run, virtually
from tests.harness.test_stale import STATUS, told
from tests.harness.test_where_rules_meet import ring_forgets

RING_STATUS = "doveadm -f tab director ring status"


def gives_alone(play: Drill, director: str) -> None:
    """One director, cut off from the other, has forgotten."""
    view, ip = play.ring.state.directors[director], play.backend.ip
    view.backends[ip] = replace(view.backends[ip], vhosts=100, up=True)


async def held_at_the_installation(play: Drill) -> None:
    """Dovecot is stopped, its users were moved."""
    await play.reaches("install-packages")
    play.fails("install-packages")
    await play.held()


@pytest.mark.parametrize("slow", [0, 4])
@virtually
async def test_a_director_that_takes_four_seconds_for_each_answer_and_gives_users_is_seen(slow: int) -> None:
    """It alone has forgotten; dovecot is stopped. It answers each time, after four seconds."""
    async with a_run() as play:
        await held_at_the_installation(play)
        gives_alone(play, "director-2")
        play.before(f"director-2 {STATUS}", lambda: asyncio.sleep(slow), always=True)
        await asyncio.sleep(900)
        assert play.facts(fact.RingDeviated), told(play)


@pytest.mark.parametrize("fails", [False, True])
@virtually
async def test_a_director_that_once_does_not_say_who_it_is_is_not_taken_for_a_stranger(fails: bool) -> None:
    """All directors have just restarted: one `ring status` of four answers is not heard."""
    async with a_run() as play:
        await held_at_the_installation(play)
        await asyncio.sleep(5)
        ring_forgets(play)

        def lost() -> None:
            if fails:
                raise MayHaveRun("director-1: the command was sent and its end was not heard.")

        play.before(f"hosts.run director-1 {RING_STATUS}", lost)
        await asyncio.sleep(20)
        assert not any(one.helpless for one in play.facts(fact.RingDeviated)), told(play)
        assert not play.ring.state.usable(play.backend.ip), told(play)


@virtually
async def test_a_director_that_never_says_who_it_is_gets_nothing_and_people_are_called() -> None:
    async with a_run() as play:
        await held_at_the_installation(play)
        await asyncio.sleep(5)
        gives_alone(play, "director-1")

        def lost() -> None:
            raise MayHaveRun("director-1: the command was sent and its end was not heard.")

        play.before(f"hosts.run director-1 {RING_STATUS}", lost, always=True)
        begun = len(play.watching.begun)
        await asyncio.sleep(60)
        assert any("not say which director it is" in one.helpless for one in play.facts(fact.RingDeviated)), told(play)
        assert [one.text for one in play.watching.begun[begun:] if one.ran.not_after] == []


@virtually
async def test_it_is_set_back_on_a_director_that_proves_to_be_itself_where_another_one_does_not_say_who_it_is() -> None:
    async with a_run() as play:
        await held_at_the_installation(play)
        await asyncio.sleep(5)
        ring_forgets(play)

        def lost() -> None:
            raise MayHaveRun("director-1: the command was sent and its end was not heard.")

        play.before(f"hosts.run director-1 {RING_STATUS}", lost, always=True)
        await asyncio.sleep(60)
        assert not play.ring.state.usable(play.backend.ip), told(play)
        assert {one.host for one in play.facts(fact.RingDeviated)} == {"director-2"}


@virtually
async def test_a_slow_director_makes_no_other_one_wait_that_gives_users() -> None:
    """Director-2 hangs: what director-1 says is judged as soon as ever."""
    async with a_run() as play:
        await held_at_the_installation(play)
        play.ring.directors["director-2"].hanging = True
        await asyncio.sleep(120)
        gives_alone(play, "director-1")
        given = play.ring.now()
        while play.ring.state.directors["director-1"].backends[play.backend.ip].usable:
            await asyncio.sleep(0.5)
        assert play.ring.now() - given < timedelta(seconds=ROUND + 15), told(play)
