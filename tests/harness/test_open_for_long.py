"""Runs that are open for long: what goes on all night, what is old when it goes on, clocks that are set meanwhile."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from bot.adapters.slack.messages.root import root
from bot.core.runs import events as fact
from bot.core.runs.ring_state import UNHEARD
from bot.core.runs.transitions import Status
from bot.practice.values import Answer, Call, Program
from bot.record.markdown import markdown
from tests.build import SECOND
from tests.harness.drill import LONG, OPEN, ROUND, Drill, a_run, virtually
from tests.harness.hooks import wording
from tests.harness.play import RUN

CALM = timedelta(minutes=5)
"""How long the others have to be enough before that is told."""


async def every(pause: timedelta, times: int, *does: Callable[[], object]) -> None:
    """One after the other, in turn."""
    for number in range(times):
        await asyncio.sleep(pause.total_seconds())
        does[number % len(does)]()


def others_called(play: Drill) -> int:
    return len([one for _, one in play.messages(fact.OthersCounted) if one.broadcast])


@virtually
async def test_other_backends_that_flap_all_night_call_everybody_once() -> None:
    """A health monitor took them down and up again; each minute the whole channel and the group were called."""
    async with a_run() as play:
        await play.reaches("approve-restore")
        await play.asks()
        await every(timedelta(minutes=1), 20, play.others_out, play.others_back)
        assert others_called(play) == 1
        await play.until(lambda run: not run.ring.others_low, within=CALM + timedelta(seconds=2 * ROUND))
        play.others_out()
        await play.until(lambda run: run.ring.others_low, within=timedelta(seconds=ROUND + 5))
        assert others_called(play) == 2


# what was not heard


def returns_late(usual: Program) -> Program:
    """As of a director beside one that hangs: its command takes effect at once, and does not return for a minute."""

    async def program(call: Call) -> Answer:
        answer = usual(call)
        answer = await answer if isinstance(answer, Awaitable) else answer
        if call.args[:2] in {("director", "update"), ("director", "down"), ("director", "flush")}:
            await asyncio.sleep(60)
        return answer

    return program


async def set_back_unheard(play: Drill, times: int) -> None:
    """The watch takes users away from it so often, and no end of what it sends is heard."""
    await play.reaches("approve-restore")
    await play.asks()
    machines = [play.network.machines[host] for host in play.ring.directors]
    usual = [machine.programs["doveadm"] for machine in machines]
    for machine in machines:
        machine.programs["doveadm"] = returns_late(machine.programs["doveadm"])
    for _ in range(times):
        play.colleague_gives()
        await play.until(lambda run: run.ring.given_users)
        await play.until(lambda run: not run.ring.given_users)
    await asyncio.sleep(120)
    for machine, program in zip(machines, usual, strict=True):
        machine.programs["doveadm"] = program


@virtually
async def test_a_restore_after_a_night_of_setting_back_asks_a_director_its_time_once_before_each_command() -> None:
    """It was asked once for each command that was not heard, one by one: minutes, and after some days hours."""
    async with a_run() as play:
        await set_back_unheard(play, times=5)
        assert len(play.run_now.ring.unheard) == UNHEARD
        await play.retry()
        await play.asks()
        begun = len(play.points.calls)
        await play.approve()
        await play.until(lambda run: run.step is not None and run.step.name == "director-up")
        asked = [one for one in play.points.calls[begun:] if one.endswith(" date +%s")]
        assert len(asked) <= 3, "one that it may be over, two for fences"


@virtually
async def test_a_restore_that_waits_for_a_directors_clock_that_was_set_back_says_so() -> None:
    """It was a day ahead until somebody mended it: a Retry would not help before tomorrow."""
    async with a_run() as play:
        await set_back_unheard(play, times=1)
        for host in play.ring.directors:
            play.network.machines[host].clock_off -= timedelta(days=1)
        await play.approve()
        reason = (await play.held_in_the_end()).reason
        date = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"
        assert re.search(f"until its clock says {date}; it says {date}, so it was set back", reason)


# what is old


@pytest.mark.parametrize("away", [timedelta(seconds=8), LONG])
@virtually
async def test_an_approval_that_expired_while_slack_was_away_is_judged_again_before_the_upgrade(
    away: timedelta,
) -> None:
    """Given on Friday for an hour; Slack was away until Monday after the take-down, and then it went on alone."""
    async with a_run() as play:
        await play.reaches("install-packages")
        play.slack.go_away()
        await asyncio.sleep(away.total_seconds())
        assert play.run_now.status is Status.READY
        assert not play.sent("install-packages")
        play.leaves_the_company(SECOND)
        play.slack.come_back()
        await play.until(lambda run: run.status is not Status.READY)
        assert bool(play.facts(fact.ApprovalLapsed)) == (away > OPEN), "what was shown in time goes on as it was judged"


# the bot's own clock


@virtually
async def test_no_length_of_time_is_negative_where_the_bots_clock_was_set_back_during_a_long_hold() -> None:
    """Its machine was five hours ahead until somebody mended that, and the bot was started again."""
    async with a_run() as play:
        await play.reaches("approve-restore")
        await play.asks()
        play.stop_bot()
        play.ahead = -timedelta(hours=5)
        await asyncio.sleep(60)
        await play.start_bot()
        assert await play.ends() == "done"
        told = [*play.thread(), wording(root(play.run_now)), markdown(tuple(play.journal.facts[RUN]))]
        assert not re.search(r"-[0-9.]+ (?:ms|s|min|h)\b", "\n".join(told))
        assert all("an unknown time (the bot's clock was set back)" in one for one in told[-3:])
