"""The machine's clock is set while the bot is down: a drain counts what was seen to pass, or what the hosts say."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.transitions import Status
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN, TIMINGS, now

HOUR = timedelta(hours=1)
SEEN, AWAY = timedelta(seconds=20), timedelta(seconds=30)
"""How long the bot is there at the beginning of the drain, and how long it then is not."""

AT_ONCE = timedelta(seconds=6)
HOSTS = ("director-1", "director-2", "backend-3")


async def killed_in_the_drain(play: Drill, away: timedelta = AWAY) -> None:
    await play.until(lambda run: run.status is Status.WAITING)
    await asyncio.sleep(SEEN.total_seconds())
    play.stop_bot()
    await asyncio.sleep(away.total_seconds())


async def to_the_end_of_the_drain(play: Drill) -> timedelta:
    """How much later it ends, by the time that really passes."""
    began = now()
    await play.until(lambda run: run.step is not None and run.step.name == "count-mapped-users")
    return now() - began


def set_clock(play: Drill, host: str, by: timedelta) -> None:
    play.network.machines[host].clock_off += by


def how_it_ended(play: Drill) -> str:
    return next(one.reason for one in play.facts(fact.StepDone) if one.step == "drain")


@pytest.mark.parametrize("jump", [HOUR, timedelta(seconds=50), -HOUR, timedelta(days=400)])
@from_step("drain")
async def test_a_drain_takes_its_length_whatever_the_bots_clock_was_set_to_while_it_was_down(
    play: Drill, jump: timedelta
) -> None:
    """Set forward, users who were about to leave would be moved; set back, it would not end."""
    await killed_in_the_drain(play)
    play.ahead = jump
    await play.start_bot()
    rest = await to_the_end_of_the_drain(play)
    assert timedelta(0) <= SEEN + AWAY + rest - TIMINGS.drain <= AT_ONCE
    assert await play.ends() == "done"


@from_step("drain")
async def test_a_bot_that_was_away_for_longer_than_the_drain_waits_no_more_and_says_by_whose_clocks(
    play: Drill,
) -> None:
    await killed_in_the_drain(play, away=TIMINGS.drain)
    await play.start_bot()
    assert await to_the_end_of_the_drain(play) <= AT_ONCE
    assert "by the clocks of director-1, director-2 and backend-3, as the bot was away" in how_it_ended(play)
    assert await play.ends() == "done"


@from_step("drain")
async def test_a_restart_that_moves_no_date_is_on_the_record_and_says_nothing_in_the_thread(play: Drill) -> None:
    await killed_in_the_drain(play)
    await play.start_bot()
    await to_the_end_of_the_drain(play)
    assert (len(play.facts(fact.WaitGoesOn)), play.thread(fact.WaitGoesOn)) == (1, [])
    assert how_it_ended(play) == "1 min 30 s have passed"


@pytest.mark.parametrize("host", HOSTS)
@from_step("drain")
async def test_a_hosts_clock_that_was_set_forward_alone_ends_no_drain_early(play: Drill, host: str) -> None:
    await killed_in_the_drain(play)
    play.ahead = HOUR
    set_clock(play, host, HOUR)
    await play.start_bot()
    rest = await to_the_end_of_the_drain(play)
    assert timedelta(0) <= SEEN + AWAY + rest - TIMINGS.drain <= AT_ONCE


@pytest.mark.parametrize("host", HOSTS)
@from_step("drain")
async def test_where_a_hosts_clock_was_set_back_nothing_is_agreed_to_and_the_whole_length_is_waited(
    play: Drill, host: str
) -> None:
    await killed_in_the_drain(play)
    set_clock(play, host, -HOUR)
    await play.start_bot()
    rest = await to_the_end_of_the_drain(play)
    assert timedelta(0) <= rest - TIMINGS.drain <= AT_ONCE


@from_step("drain")
async def test_hosts_that_do_not_answer_have_no_say_as_long_as_one_does(play: Drill) -> None:
    await killed_in_the_drain(play)
    play.ahead = HOUR
    for host in HOSTS[1:]:
        play.network.away(host, timedelta(seconds=30))
    await play.start_bot()
    rest = await to_the_end_of_the_drain(play)
    assert timedelta(0) <= SEEN + AWAY + rest - TIMINGS.drain <= 2 * AT_ONCE


@from_step("drain")
async def test_where_no_host_says_how_long_the_bot_was_away_the_whole_length_is_waited_and_that_is_said(
    play: Drill,
) -> None:
    await killed_in_the_drain(play)
    play.ahead = HOUR
    for host in HOSTS:
        play.network.away(host, timedelta(minutes=1))
    await play.start_bot()
    rest = await to_the_end_of_the_drain(play)
    assert rest >= TIMINGS.drain
    (said,) = play.thread(fact.WaitGoesOn)
    assert "the whole length is waited again" in said


@from_step("drain")
async def test_hosts_that_are_away_for_a_moment_when_the_bot_is_back_are_asked_again(play: Drill) -> None:
    await killed_in_the_drain(play)
    play.ahead = HOUR
    for host in HOSTS:
        play.network.away(host, timedelta(seconds=8))
    await play.start_bot()
    rest = await to_the_end_of_the_drain(play)
    assert timedelta(0) <= SEEN + AWAY + rest - TIMINGS.drain <= AT_ONCE


@from_step("drain")
async def test_a_drain_that_an_older_version_began_is_waited_anew_once_and_then_by_the_hosts_clocks(
    play: Drill,
) -> None:
    """It read none when it began, and nothing that it wrote says how much of the drain has passed."""
    await killed_in_the_drain(play)
    forget_the_clocks(play)
    play.ahead = HOUR
    await play.start_bot()
    await play.until(lambda _run: play.facts(fact.WaitGoesOn))
    began = now()
    await asyncio.sleep(SEEN.total_seconds())
    play.ahead = -HOUR
    await play.restart_bot(AWAY)
    await to_the_end_of_the_drain(play)
    assert timedelta(0) <= now() - began - TIMINGS.drain <= AT_ONCE
    assert await play.ends() == "done"


def forget_the_clocks(play: Drill) -> None:
    play.journal.facts[RUN] = [
        Entry(run=RUN, seq=one.seq, at=one.at, fact=replace(one.fact, clocks={}))
        if isinstance(one.fact, fact.WaitBegan)
        else one
        for one in play.journal.facts[RUN]
    ]
    play.reader._run = None


@pytest.mark.parametrize("at", ["WaitGoesOn", "date +%s"])
@from_step("drain")
async def test_a_bot_that_is_killed_again_while_it_finds_out_waits_no_less(play: Drill, at: str) -> None:
    await killed_in_the_drain(play)
    play.ahead = HOUR
    began = now()
    killed = play.before(at, play.stop_bot)
    await play.start_bot()
    await asyncio.sleep(5)
    assert killed not in play.points.hooks
    await play.start_bot()
    await to_the_end_of_the_drain(play)
    assert timedelta(0) <= SEEN + AWAY + (now() - began) - TIMINGS.drain <= AT_ONCE


@pytest.mark.parametrize("at", ["WaitBegan", "StepDone:set-vhosts-to-zero", "StepDone:drain"])
@virtually
async def test_around_a_drain_a_kill_and_a_clock_set_forward_leave_it_whole(at: str) -> None:
    async with a_run() as play:
        killed = play.before(at, play.stop_bot)
        while killed in play.points.hooks:
            await asyncio.sleep(1)
        play.ahead = HOUR
        await play.start_bot()
        await play.reaches("count-mapped-users")
        zero = min(one.ran.at for one in play.began("director update"))
        assert now() - zero >= TIMINGS.drain


@from_step("drain")
async def test_an_abort_that_comes_while_the_hosts_are_asked_goes_back_at_once(play: Drill) -> None:
    await killed_in_the_drain(play)
    play.before("date +%s", lambda: asyncio.ensure_future(play.go_back()))
    await play.start_bot()
    await play.until(lambda run: run.plan.back, within=timedelta(seconds=10))
    assert play.facts(fact.WaitGoesOn) == []
