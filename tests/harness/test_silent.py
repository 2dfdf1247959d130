"""Hosts that say nothing right before or after a change: who is asked instead, how long it is waited, what is said."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.harness.branches import from_step
from tests.harness.drill import Drill
from tests.harness.test_stale import LOCKS, STATUS, directors_are, silent_once_it_exited, told

HOURS = timedelta(hours=9)


# right before


@pytest.mark.parametrize("which", ["both for 20 s", "one for hours"])
@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@from_step()
async def test_directors_silent_as_one_is_asked_for_its_clock_leave_no_user_for_people_to_move(
    play: Drill, which: str
) -> None:
    """Dovecot is stopped and users wait; the look took 1.5 s, so the clock is asked anew, and is not heard."""

    def silent() -> None:
        if which == "both for 20 s":
            directors_are(play, "silent", 20)
        else:
            play.network.silence("director-1", HOURS)

    async def slow() -> None:
        await asyncio.sleep(1.5)
        play.before("hosts.run director-1 date", silent)

    play.before(f"hosts.run director-1 {STATUS}", slow)
    await asyncio.sleep(600)
    assert play.ring.users_on("backend-3") == 0, told(play)


@from_step("stop-dovecot")
async def test_a_backend_silent_as_it_is_asked_for_its_locks_does_not_leave_lmtp_stopped_until_somebody_wakes(
    play: Drill,
) -> None:

    async def slow() -> None:
        await asyncio.sleep(1.5)
        play.before(LOCKS, lambda: play.network.silence("backend-3", timedelta(seconds=60)))

    play.before(LOCKS, slow)
    await asyncio.sleep(400)
    assert play.run_now.status is not Status.HELD, told(play)


@from_step("stop-dovecot")
async def test_a_bot_started_before_its_network_lets_no_approval_lapse_with_lmtp_stopped(play: Drill) -> None:
    """Its machine was booted between the stop of LMTP and that of dovecot; nothing has changed on any host."""

    async def boots() -> None:
        play.stop_bot()
        for name in play.network.machines:
            play.network.silence(name, timedelta(seconds=43))
        play.later(timedelta(seconds=3), play.start_bot)

    play.before("journal.append StepStarted:stop-dovecot", boots)
    await asyncio.sleep(500)
    assert play.facts(fact.ApprovalLapsed) == []
    assert play.sent("stop-dovecot"), told(play)


@from_step("director-up")
async def test_a_backend_away_for_four_seconds_is_waited_for_where_a_monitor_has_given_it_users_already(
    play: Drill,
) -> None:
    """`up` is done, but counts only once dovecot is seen to be what was verified: people were called at once."""
    play.ring.state.change(play.backend.ip, now=play.ring.now(), up=True)
    play.network.away("backend-3", timedelta(seconds=4))
    assert await play.ends() == "done"


@from_step("director-down")
async def test_a_backend_away_for_40_seconds_is_waited_for_where_dovecot_is_to_be_started_first(play: Drill) -> None:
    """Its users wait as they do in the take-down, which waits three minutes for it."""
    play.others_out()
    await play.held()
    play.network.away("backend-3", timedelta(seconds=40))
    await play.go_back(start_first=True)
    await asyncio.sleep(200)
    assert play.backend.serving, told(play)


# once its command has exited


def the_backend_dies_as_it_installs(play: Drill) -> None:
    silent_once_it_exited(
        play, "install-packages", "dpkg-query", lambda: play.network.silence("backend-3", timedelta(hours=3))
    )


@from_step("install-packages")
async def test_a_command_that_exited_is_not_said_to_run_still_and_people_are_called_soon(play: Drill) -> None:
    """It was waited for as long as the installation may take, twenty minutes."""
    the_backend_dies_as_it_installs(play)
    began = play.ring.now()
    run = await play.held()
    assert run.reason.startswith("exit 0, and it was not seen to be done; looked up: backend-3")
    assert play.ring.now() - began < timedelta(minutes=5), told(play)


@pytest.mark.parametrize("silence", [0, 60])
@from_step("director-down")
async def test_a_restore_is_not_refused_for_a_command_whose_exit_was_heard(play: Drill, silence: int) -> None:
    """`down` exited with 0 on director-1, which is dead since; for a minute the other one was silent then, or not."""

    def silent() -> None:
        play.network.silence("director-1", HOURS)
        if silence:
            play.network.silence("director-2", timedelta(seconds=silence))

    silent_once_it_exited(play, "director-down", STATUS, silent)
    await play.reaches("ring-is-whole-for-the-restore")
    await play.held()
    await play.skip()
    run = await play.until(lambda run: run.status in {Status.HELD, Status.ENDED} or "director-up" in run.seen_done)
    assert "whose end was not heard" not in run.reason, told(play)


@from_step("director-down")
async def test_a_restore_made_by_hand_is_found_done_though_a_director_has_died_with_a_command(play: Drill) -> None:
    """As the refusal of a skip says: by hand on a director, and Retry at once."""
    play.after("director-down", lambda: play.network.silence("director-1", HOURS))
    await play.reaches("ring-is-whole-for-the-restore")
    await play.held()
    await play.skip()
    await play.held()
    play.colleague_gives()
    await play.retry()
    run = await play.until(lambda run: run.status in {Status.HELD, Status.ENDED} or "director-up" in run.seen_done)
    assert run.status is not Status.HELD, told(play)


@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@from_step()
async def test_where_both_directors_hang_and_users_wait_people_are_called_in_minutes(play: Drill, step: str) -> None:
    """Each look takes half a minute; what each place waits for added up to eight."""

    def hang() -> None:
        for director in play.ring.directors.values():
            director.hanging = True

    silent_once_it_exited(play, step, STATUS, hang)
    began = play.ring.now()
    await play.held()
    assert play.ring.now() - began < timedelta(minutes=5, seconds=30), told(play)
