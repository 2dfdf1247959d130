"""A director that takes commands and answers nothing costs seconds: users are moved as fast as without it."""

from __future__ import annotations

import asyncio
import itertools
from datetime import datetime, timedelta
from functools import cache

import pytest

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.values import Answer, Call
from tests.examples import pairs
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import reviewed
from tests.harness.virtual import run_virtual

TAKE_DOWN = ("stop-lmtp", "stop-dovecot", "director-down", "flush-users", "mask-dovecot")
MORE = timedelta(seconds=4)
"""What a hanging director may cost users."""


def out_for(play: Drill) -> timedelta:
    """From the stop of dovecot until its users are elsewhere."""
    done = {one.fact.step: one.at for one in play.journal.facts["r2026h"] if isinstance(one.fact, fact.StepDone)}
    begun = {one.fact.step: one.at for one in play.journal.facts["r2026h"] if isinstance(one.fact, fact.StepStarted)}
    return done["flush-users"] - begun["stop-dovecot"]


@cache
def usual() -> timedelta:
    """The same without anything that hangs."""

    async def whole() -> timedelta:
        async with a_run() as play:
            await play.reaches("mask-dovecot")
            return out_for(play)

    reviewed()
    return run_virtual(whole())


def hang(play: Drill, name: str = "director-2") -> None:
    play.ring.directors[name].hanging = True


def wake(play: Drill, name: str = "director-2") -> None:
    play.ring.directors[name].hanging = False


@pytest.mark.parametrize(("step", "name"), pairs(TAKE_DOWN[1:], ["director-1", "director-2"]))
def test_users_are_moved_within_seconds_more_while_a_director_hangs(step: str, name: str) -> None:
    """Seen: down after 30 s, flush after 150 s, users out meanwhile; on a real ring 46 s."""
    normal = usual()

    async def whole() -> None:
        async with a_run() as play:
            await play.reaches(step)
            hang(play, name)
            await play.reaches("stop-was-clean")
            assert out_for(play) - normal <= MORE
            assert play.ring.users_on("backend-3") == 0
            await asyncio.sleep(60)
            wake(play, name)
            assert await play.ends() == "done"
            assert play.broken() == []

    run_virtual(whole())


@from_step("director-down")
async def test_the_record_says_that_the_end_of_a_command_was_not_heard(play: Drill) -> None:
    """It took effect at once and would return after half a minute, with 75."""
    hang(play)
    await play.reaches("stop-was-clean")
    (down,) = [one for one in play.facts(fact.StepDone) if one.step == "director-down"]
    sent = [one for one in down.ran if one.changes]
    assert [one.exit_status for one in sent] == [None]
    assert "its end was not heard" in sent[0].output
    told = next(text for text in play.thread(fact.StepDone) if "is down" in text and "Tell the directors" in text)
    assert "no end was heard" in told


@from_step("approve-flush")
async def test_a_director_that_hangs_is_known_as_away_asked_every_round_and_used_again(play: Drill) -> None:
    """Nobody waits for it twice; and it is not forgotten."""
    await play.until(lambda run: run.status is Status.ASKING)
    hang(play)
    await asyncio.sleep(200)
    asked: dict[str, list[datetime]] = {}
    for one in play.watching.begun:
        if one.ran.host == "director-2" and one.ran.at > hung_at(play):
            asked.setdefault(one.text, []).append(one.ran.at)
    assert asked, "it is asked"
    gaps = [second - first for times in asked.values() for first, second in itertools.pairwise(times)]
    assert all(gap >= timedelta(seconds=20) for gap in gaps), "each question once in a round, not in every look"
    wake(play)
    await asyncio.sleep(70)
    await play.approve()
    await play.until(lambda run: run.status is Status.BUSY)
    seen = [one.host for one in play.facts(fact.StepStarted)[-1].seen if one.reading is not None]
    assert "director-2" in seen
    assert await play.ends() == "done"


def hung_at(play: Drill) -> datetime:
    """A while after it began to hang: what was on its way has come."""
    return next(moment.at for moment in play.watching.moments if moment.hanging) + timedelta(seconds=40)


@pytest.mark.parametrize("step", ["set-vhosts-to-zero", "drain", "approve-flush"])
@from_step()
async def test_nothing_that_disturbs_begins_while_a_director_hangs(play: Drill) -> None:
    """A ring that is not whole holds the run before anybody is disturbed; once it answers, Retry goes on."""
    hang(play)
    run = await play.until(lambda run: run.status is Status.HELD or run.status is Status.ASKING)
    if run.status is Status.ASKING:
        await play.approve()
        run = await play.held()
    assert "director-2" in run.reason
    assert play.began("stop lmtp") == []
    wake(play)
    await play.retry(after=timedelta(minutes=1))
    assert await play.ends() == "done"
    assert play.broken() == []


@pytest.mark.parametrize("step", ["set-vhosts-back", "director-up", "users-come-back"])
@from_step()
async def test_a_director_that_hangs_in_the_restore_does_not_keep_users_from_coming_back(play: Drill) -> None:
    """Those that answer are enough; what is checked of every one waits for it, and holds no users back."""
    hang(play)
    await play.until(lambda run: run.step is not None and run.step.name == "users-come-back", timedelta(seconds=90))
    assert play.ring.state.usable(play.backend.ip)
    await asyncio.sleep(60)
    wake(play)
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("approve-flush")
async def test_a_director_that_hangs_holds_no_lock_that_the_take_down_needs(play: Drill) -> None:
    """The watch looks while it hangs, and the flush is sent beside that."""
    await play.until(lambda run: run.status is Status.ASKING)
    # The watch's round begins right before the director is told that the backend is down.
    await play.reaches("director-down")
    hang(play)
    runner = play._services[-1]._live["r2026h"].runner
    looking = asyncio.ensure_future(runner._watch.check_ring())
    await play.reaches("stop-was-clean")
    assert out_for(play) <= MORE + timedelta(seconds=2)
    await looking
    wake(play)
    assert await play.ends() == "done"


@from_step("stop-dovecot")
async def test_a_set_back_while_a_director_hangs_delays_no_flush(play: Drill) -> None:
    """A deviation and a hanging director at once: what the watch sends waits for no end either."""
    hang(play)
    play.before("StepStarted:stop-dovecot", play.colleague_gives)
    began = play.ring.now()
    while play.ring.users_on("backend-3"):
        await asyncio.sleep(0.1)
    assert play.ring.now() - began <= timedelta(seconds=10)
    await play.until(lambda run: run.ring.deviations > 0)
    await asyncio.sleep(60)
    wake(play)
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("director-down")
async def test_both_directors_hang_and_the_run_waits_for_people_and_ends_when_they_answer(play: Drill) -> None:
    """Nobody can move users then; the thread calls, and Retry goes on."""
    hang(play, "director-1")
    hang(play, "director-2")
    run = await play.held()
    assert "director-1" in run.reason
    assert "start_again" in play.buttons()
    wake(play, "director-1")
    wake(play, "director-2")
    await play.retry()
    assert await play.ends() == "done"
    assert play.broken() == []


@virtually
async def test_a_director_whose_answers_are_late_by_four_seconds_is_no_obstacle() -> None:
    """Slower than what is waited for, and not dead: it is away for this look, and back in the next round."""
    async with a_run() as play:
        usual = play.ring.directors["director-2"].programs["doveadm"]

        async def late(call: Call) -> Answer:
            await asyncio.sleep(4)
            answer = usual(call)
            return answer if isinstance(answer, Answer) else await answer

        await play.reaches("stop-dovecot")
        play.ring.directors["director-2"].programs["doveadm"] = late
        await play.reaches("stop-was-clean")
        assert out_for(play) <= timedelta(seconds=8)
        assert await play.ends() == "done"
        assert play.broken() == []


@from_step("install-packages")
async def test_going_back_while_a_director_hangs_starts_dovecot_and_gives_users_back(play: Drill) -> None:
    """The way back asks those that answer."""
    play.fails("install-packages")
    await play.held()
    hang(play)
    await play.go_back()
    ended = asyncio.ensure_future(play.until(lambda run: run.status in {Status.HELD, Status.ENDED}))
    while not ended.done():
        await asyncio.sleep(5)
        if play.run_now.status is Status.ASKING:
            await play.approve()
    run = ended.result()
    assert play.backend.serving
    if run.status is Status.HELD:
        wake(play)
        await play.retry(after=timedelta(minutes=1))
        assert await play.ends() == "went back"
    assert play.ring.state.usable(play.backend.ip)
    assert play.broken() == []
