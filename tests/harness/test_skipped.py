"""A step that people leave out: two who may say so stand for it, and what was not seen is said to the end."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.decisions.approval import Person
from bot.core.decisions.decide import AgreeToSkip, ProposeSkip
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import SECOND, THIRD
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.test_deeds_in_trouble import nobody_knows


async def a_skip_is_proposed(play: Drill) -> int:
    """At the deletion, by one who is not the run's requester; the fact that a second engineer agrees to."""
    await play.reaches("clean-metacache")
    play.fails("clean-metacache")
    await play.held()
    await play.say(ProposeSkip(person=play.people[THIRD], held=play.run_now.held, reason="seen by hand"))
    assert play.run_now.skip is not None
    return play.run_now.skip.seq


@virtually
async def test_a_skip_is_not_agreed_to_whose_proposer_has_lost_every_right_since() -> None:
    """As an approval whose giver left: two who may say so stand for it. Somebody else may propose the same."""
    async with a_run() as play:
        ask = await a_skip_is_proposed(play)
        play.leaves_the_company(THIRD)
        await asyncio.sleep(12 * 3600)
        with pytest.raises(Refused, match=f"<@{THIRD}>, who proposed this, may not steer runs any more: this account"):
            await play.say(AgreeToSkip(person=play.people[SECOND], ask=ask))
        run = await play.held()
        play.people[THIRD] = Person(id=THIRD, may_ask=True, may_approve=False)
        await play.say(AgreeToSkip(person=play.people[SECOND], ask=ask))
        assert play.run_now.position == run.position + 1


@virtually
async def test_a_skip_is_agreed_to_while_slack_does_not_say_who_proposed_it() -> None:
    """That it does not answer about them is no word against them; who agrees was looked up by the click."""
    async with a_run() as play:
        ask = await a_skip_is_proposed(play)
        at = play.run_now.position
        play.people[THIRD] = nobody_knows(THIRD)
        await play.say(AgreeToSkip(person=play.people[SECOND], ask=ask))
        await play.until(lambda run: run.position > at or run.status is Status.ENDED)
