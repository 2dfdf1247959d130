"""What happens to a ring that is out more than once, or together with something else: people hear of each, once."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.test_stale import CONFIGURATION, told


def no_other_backend(play: Drill) -> None:
    """The ring gives this one users, and cannot be set back."""
    play.others_out()
    play.colleague_gives()


@virtually
async def test_a_boot_hides_from_nobody_that_a_ring_cannot_be_set_back() -> None:
    """The rack lost its power while a long command was under way: both are seen before the run can hold."""
    async with a_run() as play:
        await play.reaches("install-packages")

        async def slow() -> None:
            no_other_backend(play)
            play.reboots_now()
            await asyncio.sleep(70)

        play.before(CONFIGURATION, slow)
        await play.until(lambda run: run.status is Status.HELD)
        (said,) = [one.reason for one in play.facts(fact.RunHeld)]
        assert "was booted" in said
        assert "has been given users again" in said


@pytest.mark.parametrize("helpless", [False, True], ids=["control", "helpless"])
@virtually
async def test_a_boot_that_started_dovecot_is_gone_back_for_whatever_else_is_seen_before_the_run_holds(
    helpless: bool,
) -> None:
    """Else Retry would install packages on a dovecot that serves users, and is not masked."""
    async with a_run() as play:
        await play.reaches("install-packages")

        async def slow() -> None:
            play.reboots_now()
            await asyncio.sleep(35)
            if helpless:
                no_other_backend(play)
            await asyncio.sleep(60)

        play.before(CONFIGURATION, slow)
        await play.until(lambda run: run.status is Status.HELD)
        play.others_back()
        await asyncio.sleep(120)
        await play.retry()
        await play.until(lambda run: run.status in {Status.HELD, Status.ASKING, Status.ENDED})
        stops = [one for one in play.facts(fact.StepStarted) if one.step == "stop-dovecot"]
        assert len(stops) == 2, told(play, 15)
