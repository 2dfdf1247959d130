"""Every change is judged in the look that precedes it: whatever lies between, an old verdict moves nobody."""

from __future__ import annotations

import asyncio
import re

import pytest

from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.build import SECOND
from tests.examples import pairs
from tests.harness.branches import from_step
from tests.harness.drill import LONG, Drill, a_run, virtually
from tests.harness.hooks import Hook
from tests.harness.play import reviewed
from tests.harness.virtual import run_virtual

TAKEN = ("set-vhosts-to-zero", "stop-lmtp", "stop-dovecot", "director-down", "flush-users")
"""The changes that need somewhere for users to go."""

DISTURBING = ("systemctl stop dovecot", "director down", "director flush")


def none_of(play: Drill, *texts: str) -> bool:
    return not any(play.began(text) for text in texts)


@from_step("stop-dovecot")
async def test_a_bot_killed_in_the_take_down_does_not_stop_the_only_serving_backend_when_it_comes_back(
    play: Drill,
) -> None:
    """Seen: it stopped, downed and flushed it; the approval had expired, and people had changed the ring by hand."""
    play.stop_bot()
    play.colleague_gives()
    play.others_out()
    await asyncio.sleep(LONG.total_seconds())
    await play.start_bot()
    run = await play.held_in_the_end()
    await asyncio.sleep(120)
    assert none_of(play, *DISTURBING)
    assert run.step is not None
    assert run.step.name == "stop-dovecot"
    play.others_back()
    play.colleague_gives(vhosts=0)
    await play.retry()
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("stop-lmtp")
async def test_a_retry_after_the_others_went_out_and_the_giver_left_stops_nothing(play: Drill) -> None:
    """Seen: the requester clicked Retry, and stop, down and flush ran; on a real ring 22 logins had no answer."""
    play.fails("stop-dovecot")
    await play.held()
    play.others_out()
    play.leaves_the_company(SECOND)
    await play.retry(after=LONG)
    run = await play.asks()
    (asked,) = play.asked_again(Gate.FLUSH)
    assert asked.step == "stop-dovecot"
    assert "deactivated" in play.thread(fact.ApprovalLapsed)[-1]
    await play.approve()
    run = await play.held()
    assert "usable others is 0" in run.reason
    assert none_of(play, *DISTURBING)
    play.others_back()
    await play.retry()
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("set-vhosts-back")
async def test_a_retry_at_up_sends_no_users_to_a_dead_dovecot(play: Drill) -> None:
    """Seen: dovecot dead, approval expired, and Retry sent `up`: 18 users on a dead backend."""
    play.fails("director-up")
    await play.held()
    play.dovecot_dies()
    await play.retry(after=LONG)
    run = await play.held_in_the_end()
    await asyncio.sleep(60)
    assert none_of(play, "director up ")
    assert "is not so" in run.reason
    assert play.facts(fact.RingDeviated) == [], "the run's own vhosts are nobody's deviation"


@virtually
async def test_with_slack_away_and_the_others_set_to_zero_a_restarted_bot_takes_no_vhosts() -> None:
    """Seen: no usable backend, 431 failed logins; preflight had been good, some minutes before."""
    async with a_run() as play:
        await play.until(lambda run: run.stage_begun == "drain")
        play.slack.go_away()
        await asyncio.sleep(30)
        play.others_out()
        await play.restart_bot()
        await asyncio.sleep(60)
        play.slack.come_back()
        await play.held()
        assert none_of(play, "director update")
        play.others_back()
        await play.retry()
        assert await play.ends() == "done"
        assert play.broken() == []


@pytest.mark.parametrize(("step", "how"), pairs(TAKEN, ["held", "killed", "Slack away"]))
@from_step()
async def test_no_change_takes_users_while_they_have_nowhere_to_go_and_each_does_afterwards(
    play: Drill, step: str, how: str
) -> None:
    """Whatever made it old: what was judged before the others went out counts for nothing."""
    if how == "held":
        play.fails(step)
        await play.held()
    elif how == "killed":
        play.stop_bot()
    else:
        play.slack.go_away()
    play.others_out()
    await asyncio.sleep(60)
    if how == "held":
        await play.retry()
    elif how == "killed":
        await play.start_bot()
    await asyncio.sleep(60)
    play.slack.come_back()
    run = await play.held_in_the_end()
    assert play.sent(step) == []
    assert run.step is not None
    assert run.step.name == step
    play.others_back()
    await play.retry()
    assert await play.ends() == "done"
    assert len(play.sent(step)) == 1
    assert play.broken() == []


@pytest.mark.parametrize("step", ["set-vhosts-back", "director-up"])
@from_step()
async def test_users_come_only_to_what_serves(play: Drill, step: str) -> None:
    play.dovecot_dies()
    run = await play.held_in_the_end()
    assert play.sent(step) == []
    assert re.search("active is failed|doveadm mailbox", run.reason)
    assert run.step is not None
    assert run.step.name == step


@pytest.mark.parametrize("step", ["set-vhosts-back", "director-up"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda play: play.backend.packages.installed.update({"dovecot-core": "1:9.9"}), "dovecot-core=1:9.9"),
        (lambda play: play.backend.disk.write("/etc/dovecot/local.conf", "# by Puppet\n"), "/etc/dovecot digest is"),
    ],
    ids=["other packages", "another configuration"],
)
@from_step()
async def test_users_come_only_to_what_was_verified_or_it_is_asked_again(
    play: Drill, step: str, damage: object, said: str
) -> None:
    """Puppet or a colleague may have changed it after the question; the old digest was once wanted for the hour that
    the approval was good for, whatever people did.
    """
    assert callable(damage)
    damage(play)
    await play.asks()
    (lapse,) = play.facts(fact.ApprovalLapsed)
    assert (lapse.gate, lapse.at) == (Gate.RESTORE, step)
    assert said in lapse.reason
    assert play.sent(step) == []
    assert any(one.startswith("not as it was left: ") for one in play.facts(fact.ApprovalAsked)[-1].alarms)
    assert await play.ends() == "done"


async def _gap(step: str, number: int | None) -> list[str]:
    """The calls between the step's being at hand and its beginning; at the one of this number somebody goes back."""
    async with a_run() as play:
        await play.reaches(step)
        begin = len(play.points.calls)
        if number is not None:
            play.points.hooks.append(_goes_back_at(begin + number, play))
            await play.until(lambda run: run.plan.back or run.status is Status.ENDED)
            assert step not in {one.step for one in play.facts(fact.StepStarted)}, play.points.calls[begin + number]
            assert none_of(play, *DISTURBING)
            return []
        await play.until(lambda run: run.status is Status.BUSY)
        return play.points.calls[begin:]


@pytest.mark.parametrize("step", ["set-vhosts-to-zero", "stop-lmtp"])
def test_a_wish_to_go_back_stops_a_change_that_was_decided_and_has_not_begun(step: str) -> None:
    """Seen: GoBackAsked, StepStarted stop-lmtp, … flush-users, TurnedBack: decided before, sent all the same."""
    reviewed()
    gap = run_virtual(_gap(step, None))
    assert len(gap) > 5
    for number, call in enumerate(gap):
        if not call.startswith("journal."):  # while that writes, nobody is heard
            run_virtual(_gap(step, number))


def _goes_back_at(number: int, play: Drill) -> Hook:
    """Somebody asks to go back right before the call of that number."""

    async def goes_back() -> None:
        if len(play.points.calls) == number:
            play.points.hooks.remove(hook)
            await play.go_back()

    hook = Hook("", goes_back, always=True)
    return hook
