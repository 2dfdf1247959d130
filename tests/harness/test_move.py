"""Users are moved while the backend still serves: nothing stops before they are gone, and the move can be given up."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.build import SECOND
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.shown import a_move

PAST = "mallory"


def comes_back(play: Drill) -> None:
    """Somebody is mapped to the backend again, as by a director that had forgotten its vhost count."""
    play.ring.state.move("somebody", play.backend.ip, play.ring.now())


def flush_approvals(play: Drill) -> list[fact.Approved]:
    return [one for one in play.facts(fact.Approved) if one.gate is Gate.FLUSH]


@virtually
async def test_nothing_stops_before_the_users_are_gone() -> None:
    """The metacache is uploaded, the users are moved, and only then anything stops; the take-down finds it done."""
    async with a_move() as play:
        assert await play.ends() == "done"
        upload = play.sent("upload-metacache")[0]
        moved, stopped = play.began("director flush")[0], play.began("service stop lmtp")[0]
        assert upload.ran.at < moved.ran.at < stopped.ran.at
        assert play.backend.ip not in stopped.moment.mapped
        assert stopped.ran.at - moved.ran.at >= timedelta(seconds=3)
        found = next(one for one in play.facts(fact.StepDone) if one.step == "flush-users")
        assert found.how is fact.How.FOUND
        assert play.broken() == []


@virtually
async def test_users_0_while_sessions_are_still_being_kicked_is_not_the_end_of_the_move() -> None:
    """Nothing stops before no director has a session there any more."""
    async with a_move() as play:
        await play.reaches("move-users")
        late = {"late": play.backend.ip}
        play.ring.state.connected = lambda: late
        asyncio.get_running_loop().call_later(20, late.clear)
        began = play.ring.now()
        await play.reaches("stop-lmtp")
        assert timedelta(seconds=20) <= play.ring.now() - began <= timedelta(seconds=30)
        assert await play.ends() == "done"


@virtually
async def test_a_session_that_no_flush_ends_is_told_and_does_not_keep_the_run() -> None:
    """Dovecot lets in on the old backend who was logging in as the move began, and keeps them for hours."""
    async with a_move() as play:
        await play.reaches("move-users")
        play.ring.state.connected = lambda: {"let in meanwhile": play.backend.ip}
        began = play.ring.now()
        await play.reaches("stop-lmtp")
        assert timedelta(seconds=35) <= play.ring.now() - began <= timedelta(seconds=45)
        (left,) = [one for one in play.facts(fact.StepDone) if one.step == "who-is-left"]
        assert "looked for in vain, for 35 s: director-" in left.reason
        assert "sessions is 1, expected 0" in left.reason
        assert any(left.reason in text for text in play.thread(fact.StepDone))
        assert await play.ends() == "done"


@virtually
async def test_a_director_that_cannot_count_its_sessions_has_not_said_none() -> None:
    async with a_move() as play:
        await play.reaches("who-is-left")
        for director in play.ring.directors.values():
            director.programs["sh"] = director.programs["false"]
        run = await play.held()
        assert "exited with 1: it says nothing" in run.reason
        assert play.began("service stop lmtp") == []


@virtually
async def test_who_came_past_the_directors_is_on_the_approval_and_told_again_before_the_stop() -> None:
    """By number and name: the stop cuts their sessions, and no flush moves them."""
    async with a_move() as play:
        play.backend.dovecot.past_directors = {PAST: 2}
        await play.reaches("approve-flush")
        await play.asks()
        (asked,) = play.facts(fact.ApprovalAsked)
        assert any(f"past directors 2 ({PAST})" in line for line in asked.evidence)
        assert await play.ends() == "done"
        left = next(one for one in play.facts(fact.StepDone) if one.step == "who-is-left")
        assert f"past directors 2 ({PAST})" in left.reason


@virtually
async def test_the_approval_names_the_order_and_what_users_feel_of_it() -> None:
    for take_down, says in ((TakeDown.MOVE_FIRST, "order move-first: "), (TakeDown.RUNBOOK, "order runbook: ")):
        async with a_run(take_down=take_down) as play:
            await play.reaches("approve-flush")
            await play.asks()
            (asked,) = play.facts(fact.ApprovalAsked)
            (line,) = [line for line in asked.evidence if line.startswith("order ")]
            users = max(play.run_now.ring.users.values())
            assert line.startswith(says)
            assert f"{users} users" in line


@virtually
async def test_the_move_can_be_aborted_and_the_way_back_is_the_vhost_count_alone() -> None:
    """It is no part of what is uninterrupted; an approver's word is enough, as nothing was stopped."""
    async with a_move() as play:
        play.before("StepDone:move-users", lambda: None)
        await play.reaches("who-is-left")
        await play.go_back(by=SECOND, shown=True)
        assert str((await play.until(lambda run: run.status is Status.ENDED)).outcome) == "went back"
        assert play.began("service stop") == []
        assert play.began("systemctl stop") == []
        back = [one.text for one in play.began("director update")]
        assert back[-1].endswith(" 100")
        assert play.ring.state.usable(play.backend.ip)


@pytest.mark.parametrize("step", ["stop-lmtp", "stop-dovecot"])
@virtually
async def test_users_who_came_back_before_the_stop_are_moved_again_under_the_same_approval(step: str) -> None:
    """What they have written to the metacache meanwhile is uploaded first, as it was before they were moved."""
    async with a_move() as play:
        play.before(f"StepStarted:{step}", lambda: None)
        await play.reaches(step)
        comes_back(play)
        await play.until(lambda run: run.step is not None and run.step.name == "move-users")
        assert await play.ends() == "done"
        assert len(play.facts(fact.UsersCameBack)) == 1
        assert len(flush_approvals(play)) == 1
        uploads, flushes = play.sent("upload-metacache"), play.began("director flush")
        assert [upload.ran.at < flush.ran.at for upload, flush in zip(uploads, flushes, strict=True)] == [True, True]
        assert uploads[1].ran.at > flushes[0].ran.at
        assert play.broken() == []


@virtually
async def test_users_who_come_back_again_and_again_are_put_to_a_person() -> None:
    async with a_move() as play:
        for _ in range(4):
            await play.reaches("stop-lmtp")
            comes_back(play)
            moves = len(play.facts(fact.UsersCameBack))
            await play.until(lambda run: len(play.facts(fact.UsersCameBack)) > moves or run.status is Status.HELD)  # noqa: B023
        run = await play.held()
        assert "users is 1" in run.reason
        assert play.began("service stop lmtp") == []
        play.ring.state.mapped.clear()
        await play.retry()
        assert await play.ends() == "done"


@virtually
async def test_a_hold_between_the_move_and_the_stop_is_judged_again_and_moves_who_came_meanwhile() -> None:
    """Slack away, or a person who thinks: the approval is asked for again when it is too old."""
    async with a_move() as play:
        await play.reaches("stop-lmtp")
        play.fails("stop-lmtp")
        await play.held()
        comes_back(play)
        await play.retry(after=timedelta(minutes=11))
        assert await play.ends() == "done"
        assert len(flush_approvals(play)) == 2
        assert len(play.facts(fact.UsersCameBack)) == 1
        assert play.broken() == []


@pytest.mark.parametrize("step", ["director-down", "install-packages"])
@virtually
async def test_what_cannot_be_counted_once_dovecot_is_stopped_takes_no_approval_away(step: str) -> None:
    """A restart judges the approval again, and who is on a stopped backend cannot be read."""
    async with a_move() as play:
        await play.reaches(step)
        await play.restart_bot()
        assert await play.ends() == "done"
        assert not play.facts(fact.ApprovalLapsed)
        assert len(flush_approvals(play)) == 1


@virtually
async def test_an_approval_that_is_asked_for_again_shows_what_was_counted_last() -> None:
    async with a_move() as play:
        play.backend.dovecot.past_directors = {PAST: 2}
        await play.reaches("install-packages")
        play.fails("install-packages")
        await play.held()
        await play.retry(after=timedelta(minutes=11))
        await play.asks()
        assert any(f"past directors 2 ({PAST})" in line for line in play.facts(fact.ApprovalAsked)[-1].evidence)
        assert await play.ends() == "done"


@virtually
async def test_directors_that_forgot_between_the_move_and_the_stop_are_set_back_and_the_users_moved_again() -> None:
    async with a_move() as play:
        await play.reaches("who-is-left")
        play.colleague_gives()
        comes_back(play)
        assert await play.ends() == "done"
        assert play.facts(fact.RingDeviated)
        assert len(play.facts(fact.UsersCameBack)) == 1
        assert play.broken() == []


@pytest.mark.parametrize("step", ["stop-lmtp", "stop-dovecot"])
@virtually
async def test_a_move_that_is_done_again_takes_as_long_as_those_who_came_back_need(step: str) -> None:
    """Seen: it was given the time of the last count, which was none, and held with LMTP stopped."""
    async with a_move() as play:
        await play.reaches(step)
        for number in range(4_000):
            play.ring.state.move(f"many-{number}", play.backend.ip, play.ring.now())
        late = {"late": play.backend.ip}
        play.ring.state.connected = lambda: late
        asyncio.get_running_loop().call_later(120, late.clear)
        assert await play.ends() == "done"
        assert max(max(one.users.values()) for one in play.facts(fact.UsersCounted)) >= 4_000
