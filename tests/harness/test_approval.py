"""An approval is for what was shown, by somebody who still may, for one approval's time; it lapses where it is used."""

from __future__ import annotations

import asyncio
import html
from datetime import UTC, datetime, timedelta

import pytest

from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.machine.files import File
from tests.build import SECOND
from tests.examples import pairs
from tests.harness.branches import from_step
from tests.harness.drill import LONG, Drill, a_run, virtually
from tests.harness.play import TIMINGS

COVERED = {
    Gate.FLUSH: ("stop-lmtp", "stop-dovecot", "mask-dovecot", "install-config", "clean-metacache", "start-dovecot"),
    Gate.RESTORE: ("set-vhosts-back", "director-up"),
}
EACH = [(gate, step) for gate, steps in COVERED.items() for step in steps]


def asked_for(play: Drill, gate: Gate) -> list[str]:
    return [one.step for one in play.facts(fact.ApprovalAsked) if one.gate is gate]


@from_step("approve-flush")
async def test_an_approval_is_good_for_as_long_from_the_click_as_it_was_open(play: Drill) -> None:
    """It was asked for 9 of 10 minutes before the click; 9 minutes after the click it still is somebody's word."""
    await play.until(lambda run: run.status is Status.ASKING)
    await play.approve(after=timedelta(minutes=9))
    play.fails("stop-lmtp")
    await play.held()
    await play.retry(after=timedelta(minutes=9))
    assert await play.ends() == "done"
    assert play.facts(fact.ApprovalLapsed) == []


@pytest.mark.parametrize(("gate", "step"), EACH)
@from_step()
async def test_an_approval_that_expired_while_the_run_held_is_asked_for_at_the_step_at_hand(
    play: Drill, gate: Gate, step: str
) -> None:
    """Seen: a lapse went back to the gate, and the new configuration was remembered as the one of before."""
    play.fails(step)
    await play.held()
    observed, made = dict(play.run_now.observed), [one.step for one in play.facts(fact.StepDone)]
    await play.retry(after=LONG)
    await play.asks()
    assert asked_for(play, gate) == [f"approve-{gate}", step]
    assert play.sent(step) == []
    left = play.thread(fact.ApprovalAsked)[-1]
    at_hand = play.step(step)
    assert isinstance(at_hand, PlannedChange)
    assert at_hand.action.command.text in html.unescape(left), "what is at hand runs next, so it is shown first"
    for name in made:
        done = play.step(name)
        assert done.says not in left, "what was done is not asked for again"
    assert await play.ends() == "done"
    assert all(play.run_now.observed[name] == value for name, value in observed.items())
    after = [one.step for one in play.facts(fact.StepDone)]
    assert after[: len(made)] == made
    assert len(set(after)) == len(after), "nothing is made twice"
    assert play.broken() == []


@pytest.mark.parametrize("step", ["install-packages", "install-config", "clean-metacache", "start-dovecot"])
@from_step()
async def test_what_the_approval_showed_of_the_backend_need_not_last_once_the_run_has_changed_it(
    play: Drill, step: str
) -> None:
    """The proposed configuration is put in its place, and stands no longer where it was looked at."""
    play.fails(step)
    await play.held()
    await play.retry()
    assert await play.ends() == "done"
    assert play.facts(fact.ApprovalLapsed) == []


@virtually
async def test_what_is_newer_on_the_host_is_named_on_the_flush_approval() -> None:
    """A certificate that was renewed since the folder was written would be replaced by the old one."""
    async with a_run() as play:
        renewed = play.backend.disk.look("/etc/dovecot/conf.d/90-metacache.conf")
        assert isinstance(renewed, File)
        renewed.changed = datetime(2100, 1, 1, tzinfo=UTC)
        play.backend.disk.write("/etc/dovecot/conf.d/99-hotfix.conf", "x = 1\n")
        hotfix = play.backend.disk.look("/etc/dovecot/conf.d/99-hotfix.conf")
        assert isinstance(hotfix, File)
        hotfix.changed = renewed.changed
        await play.until(lambda run: run.status is Status.ASKING)
        named = "newer 2 (conf.d/90-metacache.conf, conf.d/99-hotfix.conf)"
        assert any(named in line for line in play.facts(fact.ApprovalAsked)[-1].evidence)
        assert named in html.unescape(play.thread(fact.ApprovalAsked)[-1])


@pytest.mark.parametrize(("at", "how"), pairs([EACH[0], EACH[3], EACH[6], EACH[7]], ["held", "killed"]))
@virtually
async def test_an_approval_whose_giver_left_is_asked_for_again_of_somebody_else(at: tuple[Gate, str], how: str) -> None:
    """A deactivated account approves nothing; after a hold and a restart it is looked up anew."""
    gate, step = at
    async with a_run() as play:
        await play.reaches(step)
        if how == "held":
            play.fails(step)
            await play.held()
        play.leaves_the_company(SECOND)
        if how == "held":
            await play.retry()
        else:
            await play.restart_bot()
        await play.asks()
        assert asked_for(play, gate)[-1] == step
        assert "deactivated" in play.thread(fact.ApprovalLapsed)[-1]
        assert await play.ends() == "done"
        assert play.facts(fact.Approved)[-1].by != SECOND


@from_step("ring-is-still-whole")
async def test_the_flush_is_not_begun_when_what_its_approval_showed_no_longer_holds(play: Drill) -> None:
    """A count that moves by itself is no reason; a backend that is out meanwhile is."""
    await play.restart_bot()
    await play.reaches("stop-lmtp")
    play.others_out("backend-1")
    run = await play.held_in_the_end()
    assert "backend-1 is up with vhosts 0" in run.reason
    assert play.began("stop lmtp") == []
    play.others_back()
    await play.retry()
    assert await play.ends() == "done"


@from_step("approve-flush")
async def test_counts_of_users_move_by_themselves_and_make_no_approval_old(play: Drill) -> None:
    """Else every approval would lapse at once on a ring that lives."""
    await play.until(lambda run: run.status is Status.ASKING)
    for number in range(3):
        play.ring.state.move(f"another-{number}", play.backend.ip, play.ring.now())
    await play.approve()
    await play.reaches("stop-lmtp")
    play.ring.state.move("one-more", play.backend.ip, play.ring.now())
    assert await play.ends() == "done"
    assert play.facts(fact.ApprovalLapsed) == []


@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@pytest.mark.parametrize("why", ["expired", "giver left"])
@from_step()
async def test_users_who_wait_are_moved_on_the_word_of_the_approval_that_lapsed_and_slack_is_not_waited_for(
    play: Drill, why: str
) -> None:
    """Dovecot is stopped: to ask somebody first would leave its users out for as long as that takes."""
    play.stop_bot()
    play.slack.go_away()
    if why == "giver left":
        play.leaves_the_company(SECOND)
    await asyncio.sleep((LONG if why == "expired" else timedelta(seconds=5)).total_seconds())
    began = play.ring.now()
    await play.start_bot()
    await play.reaches("mask-dovecot")
    assert (play.ring.now() - began).total_seconds() < 4
    words = [one for one in play.thread(fact.StepStarted) if "users wait" in one]
    assert any(f"<@{SECOND}>" in one for one in words)
    assert play.facts(fact.ApprovalLapsed) == [], "nothing was asked while users waited"
    play.slack.come_back()
    assert await play.ends() == "done"
    # What comes after the users is asked for again.
    assert asked_for(play, Gate.FLUSH)[-1] == "mask-dovecot"
    assert play.broken() == []


@from_step("director-down")
async def test_users_who_wait_are_not_sent_where_nobody_can_take_them(play: Drill) -> None:
    """The flush is sent when its guard holds: else people are called, and starting dovecot is the first choice."""
    play.others_out()
    run = await play.held()
    assert "usable others is 0" in run.reason
    assert play.began("director down") == []
    (told,) = play.thread(fact.StepFailed)
    assert told.index("Start dovecot again") < told.index("Retry")
    assert "start_again" in play.buttons()
    await play.go_back(start_first=True)
    await play.until(lambda run: run.plan.back and play.backend.serving)
    assert play.backend.serving
    play.others_back()
    assert await play.ends() == "went back"
    assert play.broken() == []


async def lapses_and_is_stopped_by_hand(play: Drill) -> None:
    """The approval lapses at the stop, and while people are asked anew somebody stops dovecot."""
    await play.reaches("stop-lmtp")
    play.fails("stop-dovecot")
    await play.held()
    play.leaves_the_company(SECOND)
    await play.retry()
    await play.asks()
    await play.backend.dovecot_unit.stop()


@from_step("stop-lmtp")
async def test_a_stop_found_done_by_hand_after_a_lapse_asks_nobody_before_the_flush(play: Drill) -> None:
    """The approval lapsed at the stop, and somebody stopped dovecot: its users wait now, whoever did it."""
    await lapses_and_is_stopped_by_hand(play)
    await play.approve(after=timedelta(seconds=1))
    await play.reaches("mask-dovecot")
    assert play.ring.users_on("backend-3") == 0


@from_step("stop-lmtp")
async def test_what_is_sent_with_an_approval_that_lapsed_is_said_to_be_so(play: Drill) -> None:
    """Nobody answered the new question, and dovecot was stopped by hand: the thread says on what users are moved."""
    await lapses_and_is_stopped_by_hand(play)
    await play.until(lambda run: run.status is Status.HELD)
    await play.retry()
    await play.reaches("mask-dovecot")
    assert "UTC, which has lapsed" in play.thread(fact.StepStarted)[0]


@pytest.mark.parametrize("step", ["stop-lmtp", "install-config", "set-vhosts-back"])
@from_step()
async def test_a_second_lapse_is_asked_for_as_the_first_was(play: Drill, step: str) -> None:
    """Nobody answers in time, twice: Retry asks again, and a yes at last goes on."""
    play.fails(step)
    await play.held()
    await play.retry(after=LONG)
    await play.asks()
    run = await play.until(lambda run: run.status is Status.HELD)
    assert "nobody answered" in run.reason
    assert {"retry", "go_back"} <= play.buttons() or step == "set-vhosts-back"
    await play.retry(after=LONG)
    assert await play.ends() == "done"
    assert play.broken() == []


@pytest.mark.parametrize("step", ["stop-lmtp", "install-config", "start-dovecot"])
@from_step()
async def test_what_was_asked_again_is_answered_by_going_back_too(play: Drill, step: str) -> None:
    """At the step at hand as at the gate; until then, not now holds it as it is."""
    play.fails(step)
    await play.held()
    await play.retry(after=LONG)
    await play.asks()
    sent = len(play.began(""))
    await play.put_off()
    await play.held()
    assert len(play.began("")) == sent
    await play.go_back()
    assert await play.ends() == "went back"
    assert play.sent(step) == [] or step == "start-dovecot"  # which the way back does as well
    assert play.broken() == []
    assert play.backend.serving


@from_step("approve-flush")
async def test_whoever_waits_longer_drains_again_also_over_a_crash_and_is_asked_anew(play: Drill) -> None:
    """The whole drain is waited again, by the hosts' clocks; the first question is nobody's word for anything."""
    await play.asks()
    await play.wait_longer()
    again = await play.until(lambda run: run.status is Status.WAITING)
    began = again.since
    await play.restart_bot()
    await play.asks()
    assert play.run_now.at - began >= TIMINGS.drain
    first, second = play.facts(fact.ApprovalAsked)
    assert second.expires - first.expires >= TIMINGS.drain
    assert await play.ends() == "done"
    assert play.broken() == []
