"""Users are moved while the backend still serves: nothing stops before they are gone, and the move can be given up."""

from __future__ import annotations

import asyncio
import functools
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.build import SECOND
from tests.examples import named
from tests.harness.branches import from_step
from tests.harness.drill import LONG, ROUND, Drill, a_run, virtually
from tests.harness.shown import Happens, a_move
from tests.harness.test_where_rules_meet import ring_forgets

PAST = "mallory"
MANY, TAKES = 10_000, timedelta(seconds=200)
"""Users, and how long a flush of them takes: more than the 90 s of a few."""

in_a_move_from = functools.partial(from_step, take_down=TakeDown.MOVE_FIRST)


def comes_back(play: Drill) -> None:
    """Somebody is mapped to the backend again, as by a director that had forgotten its vhost count."""
    play.ring.state.move("somebody", play.backend.ip, play.ring.now())


def flush_approvals(play: Drill) -> list[fact.Approved]:
    return [one for one in play.facts(fact.Approved) if one.gate is Gate.FLUSH]


def was_moved_again(play: Drill, *, approvals: int = 1) -> None:
    """Who came back was moved once more, by the run and not by the watch, before anything stopped."""
    assert len(play.facts(fact.UsersCameBack)) == 1
    assert len(flush_approvals(play)) == approvals
    _, again = play.began("director flush")
    assert again.ran.at < play.began("service stop lmtp")[0].ran.at
    assert play.backend.ip not in play.began("systemctl stop dovecot")[0].moment.mapped
    assert play.broken() == []


def came_to_nothing(play: Drill) -> list[object]:
    return [*play.facts(fact.StepNotDone), *play.facts(fact.StepFailed), *play.facts(fact.RunHeld)]


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
        assert [
            "nothing was run: Step 27 of 45 · runbook 7 · Move the users of backend-3" in text
            for text in play.thread(fact.StepDone)
            if "Found done already" in text
        ] == [True]
        assert play.broken() == []


@in_a_move_from("move-users")
async def test_users_0_while_sessions_are_still_being_kicked_is_not_the_end_of_the_move(play: Drill) -> None:
    """Nothing stops before no director has a session there any more."""
    late = {"late": play.backend.ip}
    play.ring.state.connected = lambda: late
    asyncio.get_running_loop().call_later(20, late.clear)
    began = play.ring.now()
    await play.reaches("stop-lmtp")
    assert timedelta(seconds=20) <= play.ring.now() - began <= timedelta(seconds=30)
    assert await play.ends() == "done"


@pytest.mark.parametrize("back", [False, True])
@in_a_move_from("move-users")
async def test_a_move_that_somebody_else_has_made_is_found_done_once_nobody_is_mapped_for_three_seconds_on_end(
    play: Drill, back: bool
) -> None:
    play.nobody_logs_in()
    play.ring.state.mapped.clear()
    began = play.ring.now()
    if back:
        asyncio.get_running_loop().call_later(1, comes_back, play)
    await play.reaches("who-is-left")
    (done,) = [one for one in play.facts(fact.StepDone) if one.step == "move-users"]
    assert done.how is (fact.How.RAN if back else fact.How.FOUND)
    assert len(play.began("director flush")) == back
    assert play.ring.now() - began >= timedelta(seconds=3)


@in_a_move_from("move-users")
async def test_a_session_that_no_flush_ends_is_told_and_does_not_keep_the_run(play: Drill) -> None:
    """Dovecot lets in on the old backend who was logging in as the move began, and keeps them for hours."""
    play.ring.state.connected = lambda: {"let in meanwhile": play.backend.ip}
    began = play.ring.now()
    await play.reaches("stop-lmtp")
    assert timedelta(seconds=35) <= play.ring.now() - began <= timedelta(seconds=45)
    (left,) = [one for one in play.facts(fact.StepDone) if one.step == "who-is-left"]
    assert "looked for in vain, for 35 s: director-" in left.reason
    assert "sessions is 1, expected 0" in left.reason
    assert any(left.reason in text for text in play.thread(fact.StepDone))
    assert await play.ends() == "done"


@in_a_move_from("who-is-left")
async def test_a_director_that_cannot_count_its_sessions_has_not_said_none(play: Drill) -> None:
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


@pytest.mark.parametrize("step", ["upload-metacache", "move-users", "who-is-left"])
@in_a_move_from()
async def test_the_move_can_be_aborted_and_the_way_back_is_the_vhost_count_alone(play: Drill, step: str) -> None:
    """It is no part of what is uninterrupted; an approver's word is enough, as nothing was stopped."""
    if step != "who-is-left":
        play.after(step, lambda: asyncio.sleep(2))
        await play.until(lambda run: run.status is Status.BUSY)
        await asyncio.sleep(1)
        assert len(play.sent(step)) == 1
        assert play.run_now.status is Status.BUSY
    begun = len(play.watching.begun)
    await play.go_back(by=SECOND, shown=True)
    run = await play.until(lambda run: run.status in {Status.ENDED, Status.HELD, Status.ASKING})
    assert str(run.outcome) == "went back"
    changes = [one.text for one in play.watching.begun[begun:] if one.ran.not_after]
    assert changes == [f"doveadm director update {play.backend.ip} 100"]
    assert play.ring.state.usable(play.backend.ip)


@in_a_move_from("install-packages")
async def test_the_way_back_from_a_backend_whose_users_were_moved_first_breaks_no_law(play: Drill) -> None:
    play.fails("install-packages")
    await play.held()
    await play.go_back()
    assert await play.ends() == "went back"
    assert play.ring.state.usable(play.backend.ip)
    assert play.broken() == []


@pytest.mark.parametrize("step", ["stop-lmtp", "stop-dovecot"])
@in_a_move_from()
async def test_users_who_came_back_before_the_stop_are_moved_again_under_the_same_approval(play: Drill) -> None:
    """What they have written to the metacache meanwhile is uploaded first, as it was before they were moved."""
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


@pytest.mark.parametrize(("after", "approvals"), [(timedelta(minutes=1), 1), (LONG, 2)])
@in_a_move_from("stop-lmtp")
async def test_a_hold_between_the_move_and_the_stop_is_judged_again_and_moves_who_came_meanwhile(
    play: Drill, after: timedelta, approvals: int
) -> None:
    """A person thinks: the approval is asked for again when it is too old, and no watch flushes what serves."""
    play.fails("stop-lmtp")
    await play.held()
    comes_back(play)
    await play.retry(after=after)
    assert await play.ends() == "done"
    was_moved_again(play, approvals=approvals)
    assert play.facts(fact.RingDeviated) == []


@in_a_move_from("who-is-left")
async def test_who_came_back_while_slack_was_away_is_moved_again_under_the_same_approval(play: Drill) -> None:
    """The take-down is not begun before people can see it, and what was moved is old by then."""
    play.slack.go_away()
    await play.until(lambda run: run.stage_begun == "take-down")
    await asyncio.sleep(60)
    comes_back(play)
    await asyncio.sleep(60)
    assert play.began("service stop lmtp") == []
    play.slack.come_back()
    assert await play.ends() == "done"
    was_moved_again(play)


@in_a_move_from("stop-lmtp")
async def test_where_the_approver_left_as_users_came_back_it_is_asked_again_before_they_are_moved(
    play: Drill,
) -> None:
    """To move them again is judged as it was the first time."""
    comes_back(play)
    play.leaves_the_company(SECOND)
    await play.asks()
    assert len(play.facts(fact.UsersCameBack)) == 1
    assert [one.at for one in play.facts(fact.ApprovalLapsed)] == ["upload-metacache"]
    assert len(play.began("director flush")) == 1
    assert await play.ends() == "done"
    was_moved_again(play, approvals=2)


@in_a_move_from("install-packages")
async def test_who_is_mapped_to_a_backend_that_stopped_after_its_move_is_flushed_by_the_watch(play: Drill) -> None:
    play.fails("install-packages")
    await play.held()
    begun = len(play.watching.begun)
    comes_back(play)
    await asyncio.sleep(2 * ROUND)
    assert play.ring.users_on("backend-3") == 0
    assert len(play.facts(fact.RingDeviated)) == 1
    changes = [one.text for one in play.watching.begun[begun:] if one.ran.not_after]
    assert changes == [f"doveadm director flush {play.backend.ip}"]


@pytest.mark.parametrize("step", ["director-down", "install-packages"])
@in_a_move_from()
async def test_what_cannot_be_counted_once_dovecot_is_stopped_takes_no_approval_away(play: Drill) -> None:
    """A restart judges the approval again, and who is on a stopped backend cannot be read."""
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


def is_given_users(play: Drill) -> None:
    play.colleague_gives()
    comes_back(play)


@pytest.mark.parametrize("happens", [ring_forgets, is_given_users], ids=named)
@in_a_move_from("who-is-left")
async def test_directors_that_forgot_between_the_move_and_the_stop_are_set_back_and_the_users_moved_again(
    play: Drill, happens: Happens
) -> None:
    happens(play)
    assert await play.ends() == "done"
    assert play.facts(fact.RingDeviated)
    was_moved_again(play)


@pytest.mark.parametrize("step", ["move-users", "stop-lmtp", "stop-dovecot"])
@in_a_move_from()
async def test_a_move_takes_as_long_as_its_users_need_also_where_it_is_done_again(play: Drill, step: str) -> None:
    """Seen: it was given the time of the last count, which was none, and held with LMTP stopped."""
    play.moves_slowly()
    for number in range(MANY):
        play.ring.state.move(f"many-{number}", play.backend.ip, play.ring.now())
    await play.reaches("director-down")
    assert came_to_nothing(play) == []
    *before, flush = play.began("director flush")
    assert len(before) == (step != "move-users")
    (stop,) = play.began("systemctl stop dovecot" if step == "stop-dovecot" else "service stop lmtp")
    assert stop.ran.at - flush.ran.at >= TAKES + timedelta(seconds=3)


@from_step("flush-users")
async def test_in_the_runbooks_order_the_flush_takes_as_long_as_its_users_need_as_well(play: Drill) -> None:
    play.moves_slowly()
    for number in range(MANY):
        play.ring.state.move(f"many-{number}", play.backend.ip, play.ring.now())
    began = play.ring.now()
    await play.reaches("mask-dovecot")
    assert play.ring.now() - began >= TAKES
    assert came_to_nothing(play) == []
    assert len(play.began("director flush")) == 1
