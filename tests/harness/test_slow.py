"""Every call takes its time, and the watch looks all the while: nothing happens, and nothing is taken to have happened.

A look that began before a change and ends after it says what is not so any more. Which ones meet is a matter of chance:
a seed of it a run.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.runs import events as fact
from tests.examples import MANY
from tests.harness.judges import judged
from tests.harness.play import TIMINGS, Play, played_with
from tests.harness.ports import Here

LONGEST = 0.5
"""Seconds, each way; less than anything is waited for."""
ALWAYS_LOOKING = replace(TIMINGS, drain=timedelta(seconds=5), watch_every=timedelta(seconds=0.1))
TROUBLE = (
    fact.RingDeviated,
    fact.MonitorSaysUp,
    fact.OthersCounted,
    fact.UsersCameBack,
    fact.StepNotDone,
    fact.StepUnclear,
    fact.StepFailed,
    fact.ApprovalLapsed,
    fact.RunHeld,
)


@pytest.mark.parametrize("seed", range(20 if MANY else 1))
@pytest.mark.parametrize("order", list(TakeDown))
def test_in_a_run_whose_calls_all_take_their_time_nobody_is_called(order: TakeDown, seed: int) -> None:
    chance = random.Random(seed)

    async def slowly(_play: Play, here: Here) -> object:
        await asyncio.sleep(LONGEST * chance.random() ** 3)
        came = await here.act()
        await asyncio.sleep(LONGEST * chance.random() ** 3)
        return came

    seen = played_with(lambda _number: slowly, order, ALWAYS_LOOKING).evidence
    assert [entry.fact for entry in seen.entries if isinstance(entry.fact, TROUBLE)] == []
    assert seen.outcome == "done"
    assert list(judged(seen)) == []
