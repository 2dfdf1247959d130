"""The watch keeps nobody waiting, and neither it nor an approval says what is not so any more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.harness.branches import from_step
from tests.harness.drill import ROUND, Drill, a_run, virtually
from tests.harness.test_stale import CONFIGURATION, STATUS, UNITS, directors_are, slowly, told
from tests.harness.test_watch_unheard import held_at_the_installation
from tests.harness.test_where_rules_meet import ring_forgets


@from_step("stop-dovecot")
async def test_users_of_a_stopped_backend_do_not_wait_for_what_the_watch_sends_while_a_director_hangs(
    play: Drill,
) -> None:
    """The stop takes 11 s; meanwhile director-2 hangs, and the vhosts are given again on director-1."""
    play.backend.dovecot_unit.stop_takes = timedelta(seconds=11)

    def meanwhile() -> None:
        play.ring.directors["director-2"].hanging = True
        play.colleague_gives(up=None)

    play.later(timedelta(seconds=5), meanwhile)
    await play.until(lambda run: "stop-dovecot" in run.seen_done)
    stopped = play.ring.now()
    await play.until(lambda run: "flush-users" in run.seen_done)
    waited = play.ring.now() - stopped
    assert waited < timedelta(seconds=12), f"{waited}\n{told(play)}"


@from_step("install-packages")
async def test_users_are_not_sent_to_a_backend_that_is_out_for_as_long_as_it_takes_to_say_whether_it_serves(
    play: Drill,
) -> None:
    """The ring forgot, and the backend's answer takes 25 s: only the flush depends on that, not vhosts and down."""
    play.fails("install-packages")
    await play.held()
    await asyncio.sleep(5)
    ring_forgets(play)
    play.before(UNITS, lambda: asyncio.sleep(25), always=True)
    seen = []
    play.before(f"director-1 {STATUS}", lambda: seen.append(play.ring.now()))
    while not seen or play.ring.state.usable(play.backend.ip):
        await asyncio.sleep(0.5)
    waited = play.ring.now() - seen[0]
    assert waited < timedelta(seconds=10), f"{waited}\n{told(play)}"


@from_step("approve-restore")
async def test_nothing_is_said_to_be_set_back_once_somebody_has_taken_over(play: Drill) -> None:
    """The watch asks whether the backend serves, as somebody is mapped to it; meanwhile somebody takes over."""
    await play.asks()
    play.dovecot_dies()
    play.ring.state.move("somebody", play.backend.ip, play.ring.now())

    async def taken() -> None:
        await asyncio.sleep(2)
        await play.take_over()
        await asyncio.sleep(2)

    play.before(UNITS, taken)
    await asyncio.sleep(100)
    assert play.facts(fact.TakenOver)
    assert play.facts(fact.RingDeviated) == []


@from_step("approve-restore")
async def test_a_taken_ring_is_not_released_on_what_directors_said_before_a_slow_look_at_dovecot(play: Drill) -> None:
    """Given by hand, and taken away again at once, as the backend does not work; it stays out, and nobody has it."""
    await play.asks()
    await play.take_over()
    play.colleague_gives()
    play.before(UNITS, slowly(8, lambda: play.colleague_gives(vhosts=0, up=False)))
    await asyncio.sleep(200)
    assert not play.ring.state.usable(play.backend.ip)
    assert play.run_now.status is Status.TAKEN, told(play)


@virtually
async def test_an_approval_does_not_say_that_users_were_last_seen_given_where_a_colleague_took_them_away() -> None:
    """Nobody could be set back for want of others; a colleague put it right, and the watch saw so."""
    async with a_run() as play:
        play.nobody_logs_in()
        await play.reaches("install-packages")
        play.fails("install-packages")
        await play.held()
        play.others_out()
        play.colleague_gives()
        await asyncio.sleep(65)
        assert play.ring.users_on("backend-3") == 0
        play.colleague_gives(vhosts=0, up=False)
        play.others_back()
        await asyncio.sleep(300)
        await play.retry()
        await play.reaches("approve-restore")
        await play.asks()
        said = play.thread(fact.ApprovalAsked)[-1]
        assert "last seen to give it users" not in said, said[:400]


@from_step("approve-restore")
async def test_an_approval_does_not_say_that_users_were_last_seen_given_where_the_set_back_was_seen_late(
    play: Drill,
) -> None:
    """Both directors are silent for 20 s right after the set-back; since then every look shows vhosts 0 and down."""
    await play.asks()
    play.colleague_gives()

    async def heard() -> None:
        play.before(STATUS, lambda: directors_are(play, "silent", 20))

    play.before("journal.append RingDeviated", lambda: play.later(timedelta(seconds=0.006), heard))
    await asyncio.sleep(200)
    await play.put_off()
    await play.retry()
    await play.asks()
    assert not play.ring.state.usable(play.backend.ip)
    said = play.thread(fact.ApprovalAsked)[-1]
    assert "last seen to give it users" not in said, said[:400]


@pytest.mark.parametrize("crash", [False, True], ids=["control", "crash"])
@virtually
async def test_what_the_watch_sent_before_a_crash_does_not_take_a_backend_away_after_its_restore(crash: bool) -> None:
    """Its `update 0` lies in a director that hangs; the bot is killed before it records that, and restores."""

    def looks_often(play: Drill) -> None:
        play.timings = replace(play.timings, watch_every=timedelta(seconds=2))

    async with a_run(spoil=looks_often) as play:
        await play.reaches("set-vhosts-back")
        director = play.ring.directors["director-1"]
        play.before(CONFIGURATION, lambda: asyncio.sleep(8))
        play.colleague_gives(vhosts=50, up=False)

        def hangs() -> None:
            director.hanging = True
            play.later(timedelta(seconds=14), lambda: setattr(director, "hanging", False))
            if crash:
                play.later(timedelta(seconds=1), play.stop_bot)
                play.later(timedelta(seconds=1.5), play.start_bot)

        play.before(f"hosts.run director-1 doveadm director update {play.backend.ip} 0", hangs)
        await asyncio.sleep(1000)
        assert play.broken() == [], told(play)
        assert play.ring.state.usable(play.backend.ip), told(play)


@from_step("install-packages")
async def test_the_flush_of_the_watch_is_not_sent_where_the_others_failed_while_dovecot_was_asked(play: Drill) -> None:
    play.fails("install-packages")
    await play.held()
    await asyncio.sleep(5)
    ring_forgets(play)
    play.before(UNITS, slowly(8, play.others_out))
    await asyncio.sleep(60)
    assert play.broken() == [], told(play)


@from_step("approve-restore")
async def test_a_taken_ring_is_not_released_where_dovecot_died_while_directors_were_slow(play: Drill) -> None:
    """Said to be released as dovecot is seen to run; it was seen 8 s before, and has died."""
    await play.asks()
    await play.take_over()
    play.colleague_gives()
    play.before(f"director-1 {STATUS}", slowly(8, play.dovecot_dies))
    await asyncio.sleep(200)
    assert not play.backend.serving
    assert play.run_now.status is Status.TAKEN, told(play)


@pytest.mark.parametrize("slow", [0, 25])
@virtually
async def test_the_runs_own_flush_does_not_wait_for_whether_a_slow_backend_serves(slow: int) -> None:
    """The ring forgets right after the stop; the watch sets it back, and asks the backend whether users wait."""
    async with a_run(take_down=TakeDown.MOVE_FIRST) as play:
        await play.reaches("stop-dovecot")
        await play.until(lambda run: run.status is Status.BUSY)
        play.backend.dovecot_unit.stop_takes = timedelta(seconds=5)
        await play.until(lambda run: "stop-dovecot" in run.seen_done)
        stopped = play.ring.now()
        ring_forgets(play)
        play.before(UNITS, lambda: asyncio.sleep(slow), always=True)
        await play.until(lambda run: "flush-users" in run.seen_done)
        waited = play.ring.now() - stopped
        assert waited < timedelta(seconds=12), f"{waited}\n{told(play)}"


@pytest.mark.parametrize("slow", [0, 8])
@virtually
async def test_the_watch_flushes_nobody_from_a_dovecot_that_was_started_while_a_director_was_asked_for_its_clock(
    slow: int,
) -> None:
    """The director takes 8 s to say what time it has: what was seen before is old by then."""
    async with a_run() as play:
        play.nobody_logs_in()
        await play.reaches("install-packages")
        play.fails("start-dovecot")
        await play.held()
        await asyncio.sleep(5)
        play.ring.state.move("somebody", play.backend.ip, play.ring.now())
        started = []

        def start() -> None:
            play.backend.dovecot_unit.start()
            started.append(play.ring.now())

        async def late() -> None:
            play.later(timedelta(seconds=2), start)
            await asyncio.sleep(slow)

        play.before("hosts.run director-1 date", late)
        await asyncio.sleep(100)
        assert play.backend.serving
        assert [one for one in play.began("director flush") if one.ran.at > started[0]] == [], told(play)


@from_step("install-packages")
async def test_directors_that_take_four_seconds_for_each_answer_are_set_back_and_users_moved(play: Drill) -> None:
    """What was seen is never young then: it is looked anew some times, and not for ever."""
    await held_at_the_installation(play)
    await asyncio.sleep(5)
    play.before("hosts.run director-", lambda: asyncio.sleep(4), always=True)
    ring_forgets(play)
    await asyncio.sleep(3 * ROUND)
    assert not play.ring.state.usable(play.backend.ip)
    await asyncio.sleep(3 * ROUND)
    assert play.ring.users_on("backend-3") == 0, told(play)


@virtually
async def test_nobody_is_flushed_from_a_dovecot_that_was_started_while_the_watch_waited_for_a_slow_director() -> None:
    """Ten seconds of grace for director-2, which says nothing: what the backend said before is as old."""
    async with a_run() as play:
        play.nobody_logs_in()
        await play.reaches("install-packages")
        play.fails("start-dovecot")
        await play.held()
        play.before(f"director-2 {STATUS}", lambda: asyncio.sleep(15), always=True)
        await asyncio.sleep(100)
        looked, started = [play.ring.now()], []

        def starts() -> None:
            play.backend.dovecot_unit.start()
            started.append(play.ring.now())

        def looks() -> None:
            looked.append(play.ring.now())
            if looked[-1] - looked[-2] < timedelta(seconds=1):  # the second look of a round: the one with the grace
                play.points.hooks.remove(hook)
                play.ring.state.move("somebody", play.backend.ip, play.ring.now())
                play.before(UNITS, lambda: play.later(timedelta(seconds=2), starts))

        hook = play.before(f"director-1 {STATUS}", looks, always=True)
        await asyncio.sleep(200)
        assert started
        assert not [one for one in play.began("director flush") if one.ran.at > started[0]], told(play)
