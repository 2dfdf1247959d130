"""What the watch does not hear, or hears late: a slow or silent director, a backend that is off, a flush under way."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.errors import MayHaveRun
from tests.harness.branches import from_step
from tests.harness.drill import ROUND, Drill
from tests.harness.test_stale import STATUS, directors_are, told
from tests.harness.test_where_rules_meet import ring_forgets
from tests.harness.told import GROUP

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
@from_step("install-packages")
async def test_a_director_that_takes_four_seconds_for_each_answer_and_gives_users_is_seen(
    play: Drill, slow: int
) -> None:
    """It alone has forgotten; dovecot is stopped. It answers each time, after four seconds."""
    await held_at_the_installation(play)
    gives_alone(play, "director-2")
    play.before(f"director-2 {STATUS}", lambda: asyncio.sleep(slow), always=True)
    await asyncio.sleep(900)
    assert play.facts(fact.RingDeviated), told(play)


@pytest.mark.parametrize("fails", [False, True])
@from_step("install-packages")
async def test_a_director_that_once_does_not_say_who_it_is_is_not_taken_for_a_stranger(
    play: Drill, fails: bool
) -> None:
    """All directors have just restarted: one `ring status` of four answers is not heard."""
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


@from_step("install-packages")
async def test_it_is_not_said_to_be_as_the_run_left_it_where_the_director_that_gives_users_is_silent(
    play: Drill,
) -> None:
    """It was not set back for want of others; then it is silent, and the other one speaks for both."""
    await held_at_the_installation(play)
    play.others_out()
    gives_alone(play, "director-2")
    await asyncio.sleep(65)
    play.network.silence("director-2", timedelta(hours=2))
    play.others_back()
    await asyncio.sleep(300)
    assert play.ring.state.directors["director-2"].backends[play.backend.ip].usable
    said = play.thread(fact.RingSetBack)
    assert not any("As this run left it again" in one for one in said), said
    assert play.run_now.ring.given_users


@from_step("install-packages")
async def test_it_is_not_said_to_be_as_the_run_left_it_where_nothing_could_be_sent_to_who_gives_users(
    play: Drill,
) -> None:
    """Its sshd is gone as it is to be set back: `update`, `down` and `flush` are not sent; three ticks said done."""
    await held_at_the_installation(play)
    gives_alone(play, "director-2")
    play.before(
        f"hosts.run director-2 doveadm director update {play.backend.ip} 0",
        lambda: play.network.away("director-2", timedelta(minutes=20)),
    )
    await asyncio.sleep(300)
    assert play.ring.state.directors["director-2"].backends[play.backend.ip].usable
    assert not any(one.holds for one in play.facts(fact.RingSetBack)), play.thread(fact.RingSetBack)


@from_step("install-packages")
async def test_it_is_not_said_to_be_as_the_run_left_it_while_users_are_mapped_to_a_host_that_is_off(
    play: Drill,
) -> None:
    """The set-back is not seen, as the directors are silent; nobody is flushed, as the host does not say a thing."""
    await held_at_the_installation(play)
    play.network.silence("backend-3", timedelta(hours=3))
    await asyncio.sleep(20)
    play.after("set-vhosts-to-zero", lambda: directors_are(play, "silent", 60))
    ring_forgets(play)
    await asyncio.sleep(600)
    assert play.ring.users_on("backend-3") > 0
    said = play.thread(fact.RingSetBack)
    assert not any("As this run left it" in one for one in said), said


@from_step("install-packages")
async def test_people_are_called_where_users_wait_on_a_host_that_is_off(play: Drill) -> None:
    """The watch takes the vhosts away again, moves nobody, and says that it is set back."""
    await held_at_the_installation(play)
    play.network.silence("backend-3", timedelta(hours=3))
    await asyncio.sleep(20)
    before = len(play.thread())
    ring_forgets(play)
    await asyncio.sleep(1800)
    waiting = play.ring.users_on("backend-3")
    assert not waiting or any(GROUP in one for one in play.thread()[before:]), (waiting, told(play))


@from_step("install-packages")
async def test_a_flush_of_the_watch_that_takes_its_time_is_one_deviation(play: Drill) -> None:
    """4,000 users logged in before the watch saw that the ring forgot; moving 100 takes 2 s. Here 1 stands for 100."""
    await held_at_the_installation(play)
    play.moves_slowly(at_once=1)
    ring_forgets(play)
    for number in range(40):
        play.ring.state.move(f"user{number}", play.backend.ip, play.ring.now())
    await asyncio.sleep(300)
    assert play.ring.users_on("backend-3") == 0
    assert len(play.facts(fact.RingDeviated)) == 1, told(play)


@from_step("install-packages")
async def test_users_do_not_wait_for_a_flush_of_the_watch_that_lies_in_a_director_that_hangs(play: Drill) -> None:
    """The other director says all the while that none has left; 300 of them may take two minutes."""
    await held_at_the_installation(play)
    play.ring.restart_all_directors()
    for number in range(300):
        play.ring.state.move(f"user{number}", play.backend.ip, play.ring.now())
    director = play.ring.directors["director-1"]
    play.before(
        f"hosts.run director-1 doveadm director flush {play.backend.ip}",
        lambda: setattr(director, "hanging", True),
    )
    await play.until(lambda run: run.ring.deviations)
    await asyncio.sleep(2 * ROUND + 5)
    assert play.ring.users_on("backend-3") == 0, told(play)


@from_step("install-packages")
async def test_nobody_is_called_where_a_backend_with_users_is_silent_for_a_moment(play: Drill) -> None:
    """It is booted while the ring forgets: one round does not know whether it serves, the next one does."""
    await held_at_the_installation(play)
    play.network.silence("backend-3", timedelta(seconds=40))
    await asyncio.sleep(5)
    ring_forgets(play)
    await asyncio.sleep(300)
    assert not any(one.helpless for one in play.facts(fact.RingDeviated)), told(play)
    assert play.ring.users_on("backend-3") == 0


@from_step("install-packages")
async def test_users_of_a_host_that_was_off_are_moved_once_it_is_seen_not_to_serve(play: Drill) -> None:
    await held_at_the_installation(play)
    play.network.silence("backend-3", timedelta(minutes=10))
    ring_forgets(play)
    await play.until(lambda run: run.ring.helpless_reported)
    await asyncio.sleep(1200)
    assert play.ring.users_on("backend-3") == 0
    assert not play.run_now.ring.given_users, told(play)


@from_step("install-packages")
async def test_a_director_that_never_says_who_it_is_gets_nothing_and_people_are_called(play: Drill) -> None:
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


@from_step("install-packages")
async def test_it_is_set_back_on_a_director_that_proves_to_be_itself_where_another_one_does_not_say_who_it_is(
    play: Drill,
) -> None:
    await held_at_the_installation(play)
    await asyncio.sleep(5)
    ring_forgets(play)

    def lost() -> None:
        raise MayHaveRun("director-1: the command was sent and its end was not heard.")

    play.before(f"hosts.run director-1 {RING_STATUS}", lost, always=True)
    await asyncio.sleep(60)
    assert not play.ring.state.usable(play.backend.ip), told(play)
    assert {one.host for one in play.facts(fact.RingDeviated)} == {"director-2"}


@from_step("install-packages")
async def test_it_is_not_said_to_be_set_back_on_the_word_of_one_of_two_directors_that_gave_users(play: Drill) -> None:
    """Both forgot; one of them is cut off as the other one is set back, and sends users there all the while."""
    await held_at_the_installation(play)
    await asyncio.sleep(5)
    ring_forgets(play)

    def cut_off() -> None:
        play.network.silence("director-2", timedelta(hours=2))
        gives_alone(play, "director-2")

    play.after("set-vhosts-to-zero", cut_off)
    await asyncio.sleep(300)
    assert play.ring.state.directors["director-2"].backends[play.backend.ip].vhosts
    assert not any(one.holds for one in play.facts(fact.RingSetBack)), play.thread(fact.RingSetBack)
    assert play.run_now.ring.given_users


@from_step("install-packages")
async def test_it_is_not_said_to_be_set_back_now_where_nothing_is_sent(play: Drill) -> None:
    """The director is gone as it is asked for its clock."""
    await held_at_the_installation(play)
    gives_alone(play, "director-2")
    away = lambda: play.network.away("director-2", timedelta(seconds=20))  # noqa: E731
    play.before("hosts.run director-2 date", away)
    await asyncio.sleep(40)
    first, *_ = play.facts(fact.RingDeviated)
    assert first.sends == 0
    said, *_ = play.thread(fact.RingDeviated)
    assert "It is set back now" not in said
    assert "Nothing can be sent there now" in said


@from_step("install-packages")
async def test_a_slow_director_makes_no_other_one_wait_that_gives_users(play: Drill) -> None:
    """Director-2 hangs: what director-1 says is judged as soon as ever."""
    await held_at_the_installation(play)
    play.ring.directors["director-2"].hanging = True
    await asyncio.sleep(120)
    gives_alone(play, "director-1")
    given = play.ring.now()
    while play.ring.state.directors["director-1"].backends[play.backend.ip].usable:
        await asyncio.sleep(0.5)
    assert play.ring.now() - given < timedelta(seconds=ROUND + 15), told(play)
