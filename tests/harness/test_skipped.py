"""A step that people leave out: two who may say so stand for it, and what was not seen is said to the end."""

from __future__ import annotations

import asyncio

import pytest

from bot.adapters.slack.messages.root import root, run_list
from bot.core.decisions.approval import Person
from bot.core.decisions.decide import AgreeToSkip, ProposeSkip
from bot.core.decisions.summary import summary_of
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.errors import Refused
from bot.record.markdown import markdown
from tests.build import SECOND, THIRD
from tests.harness.branches import from_step
from tests.harness.drill import A_WHILE, ROUND, Drill
from tests.harness.hooks import wording
from tests.harness.play import RUN
from tests.harness.test_deeds_in_trouble import nobody_knows
from tests.harness.told import GROUP


async def a_skip_is_proposed(play: Drill) -> int:
    """At the deletion, by one who is not the run's requester; the fact that a second engineer agrees to."""
    await play.reaches("clean-metacache")
    play.fails("clean-metacache")
    await play.held()
    await play.say(ProposeSkip(person=play.people[THIRD], held=play.run_now.held, reason="seen by hand"))
    assert play.run_now.skip is not None
    return play.run_now.skip.seq


@from_step("clean-metacache")
async def test_a_skip_is_not_agreed_to_whose_proposer_has_lost_every_right_since(play: Drill) -> None:
    """As an approval whose giver left: two who may say so stand for it. Somebody else may propose the same."""
    ask = await a_skip_is_proposed(play)
    play.leaves_the_company(THIRD)
    await asyncio.sleep(A_WHILE.total_seconds())
    with pytest.raises(Refused, match=f"<@{THIRD}>, who proposed this, may not steer runs any more: this account"):
        await play.say(AgreeToSkip(person=play.people[SECOND], ask=ask))
    run = await play.held()
    play.people[THIRD] = Person(id=THIRD, may_ask=True, may_approve=False)
    await play.say(AgreeToSkip(person=play.people[SECOND], ask=ask))
    assert play.run_now.position == run.position + 1


@from_step("clean-metacache")
async def test_a_skip_is_agreed_to_while_slack_does_not_say_who_proposed_it(play: Drill) -> None:
    """That it does not answer about them is no word against them; who agrees was looked up by the click."""
    ask = await a_skip_is_proposed(play)
    at = play.run_now.position
    play.people[THIRD] = nobody_knows(THIRD)
    await play.say(AgreeToSkip(person=play.people[SECOND], ask=ask))
    await play.until(lambda run: run.position > at or run.status is Status.ENDED)


async def taken_again_and_skipped(play: Drill) -> Run:
    """A colleague takes the vhosts away behind the restore; what waits for them is skipped, and the run ends."""
    await play.reaches("users-come-back")
    play.colleague_gives(vhosts=0, up=True)
    run = await play.held()
    assert "vhosts is 0" in run.reason
    await play.skip()
    return await play.until(lambda run: run.status is Status.ENDED)


def said_everywhere(play: Drill, run: Run) -> list[str]:
    """How its end reads: in its last reply, at the top of its thread, in a list of ended runs, on the record."""
    end = play.thread(fact.RunEnded)[-1]
    shown = run_list((summary_of(run),), {}, title="Runs")
    return [end, wording(root(run)), wording(shown), markdown(tuple(play.journal.facts[RUN]))]


@from_step("users-come-back")
async def test_a_run_whose_last_check_was_skipped_says_that_the_backend_was_not_seen_to_be_back(play: Drill) -> None:
    """Seen: *Done*, and *Out* until a time at which it was given users that a colleague had taken away again."""
    run = await taken_again_and_skipped(play)
    assert not play.ring.state.usable(play.backend.ip)
    for said in said_everywhere(play, run):
        assert "ot seen to be back" in said
        assert "vhosts is 0, expected 100" in said
        assert "*Out* for" not in said
    assert GROUP in play.thread(fact.RunEnded)[-1], "an approver may have to put it back"


@from_step("approve-flush")
async def test_a_way_back_whose_last_check_was_skipped_says_so_too(play: Drill) -> None:
    await play.asks()
    await play.go_back()
    run = await taken_again_and_skipped(play)
    assert run.outcome is fact.Outcome.WENT_BACK
    assert all("vhosts is 0, expected 100" in said for said in said_everywhere(play, run))


@from_step("clean-metacache")
async def test_a_run_that_sees_the_backend_back_at_last_says_how_long_it_was_out_and_calls_no_approver(
    play: Drill,
) -> None:
    """Another skip, and a hold of the last check, that a retry has ended, are nobody's news at the end."""
    ask = await a_skip_is_proposed(play)
    await play.say(AgreeToSkip(person=play.people[SECOND], ask=ask))
    await play.reaches("users-come-back")
    play.colleague_gives(vhosts=0, up=True)
    await play.held()
    play.colleague_gives()
    await asyncio.sleep(ROUND)
    await play.retry()
    run = await play.until(lambda run: run.status is Status.ENDED)
    assert "*Out* for" in wording(root(run))
    assert all("ot seen to be back" not in said for said in said_everywhere(play, run))
    assert GROUP not in play.thread(fact.RunEnded)[-1]
