"""Whoever asked for a run has left: two stand for a take-down, and one of them is the requester."""

from __future__ import annotations

import pytest

from bot.core.plans.effects import Effect, effects
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import REQUESTER, SECOND
from tests.harness.branches import from_step
from tests.harness.drill import Drill
from tests.harness.test_deeds_in_trouble import nobody_knows

LEFT = "whoever asked for this run stands for it no more, as this account is deactivated"


def stops(play: Drill) -> list[str]:
    """The commands that were sent and stop something, or move users."""
    return [one.command for one in play.facts(fact.StepStarted) if effects(one.command) & {Effect.STOP, Effect.FLUSH}]


@pytest.mark.parametrize("when", ["while it drains", "while it asks", "after the click"])
@from_step("drain")
async def test_no_backend_is_stopped_for_somebody_who_has_left(play: Drill, when: str) -> None:
    """A stolen account asks, and is deactivated within minutes; a second engineer who does not know approves."""
    if when == "while it drains":
        play.leaves_the_company(REQUESTER)
    asked = await play.asks()
    if when == "after the click":
        await play.approve(SECOND)
        play.leaves_the_company(REQUESTER)
        asked = await play.until(lambda run: run.status is Status.ASKING)
        assert LEFT in play.facts(fact.ApprovalLapsed)[-1].reason
    play.leaves_the_company(REQUESTER)
    with pytest.raises(Refused, match=f"This does not count: {LEFT}: go back, and ask for a new run"):
        await play.approve_as(SECOND)
    assert asked.asked is not None
    shown = play.facts(fact.ApprovalAsked)[-1].alarms
    assert any(LEFT in one for one in shown) is (when != "while it asks")
    assert LEFT in play.facts(fact.ApprovalRefused)[-1].reason
    assert stops(play) == []
    await play.go_back(SECOND, shown=True)
    assert (await play.until(lambda run: run.status is Status.ENDED)).outcome is fact.Outcome.WENT_BACK


@from_step("drain")
async def test_a_run_is_approved_once_its_requesters_account_is_there_again(play: Drill) -> None:
    known = play.people[REQUESTER]
    play.leaves_the_company(REQUESTER)
    await play.asks()
    play.people[REQUESTER] = known
    await play.approve(SECOND)
    assert await play.ends() == "done"


@from_step("drain")
async def test_that_slack_does_not_say_who_the_requester_is_keeps_nobody_from_approving(play: Drill) -> None:
    play.people[REQUESTER] = nobody_knows(REQUESTER)
    assert await play.ends() == "done"


@pytest.mark.parametrize("step", ["stop-dovecot", "director-down", "start-dovecot", "set-vhosts-back"])
@from_step()
async def test_a_requester_who_leaves_keeps_no_backend_out_once_users_were_disturbed(play: Drill) -> None:
    play.leaves_the_company(REQUESTER)
    assert await play.ends() == "done"
