"""While a backend is out, directors restart and forget it: it is set back, and nobody is called."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.runs import events as fact
from tests.harness.attacks import KINDS
from tests.harness.drill import ROUND, a_run, virtually
from tests.harness.ports import Here


@pytest.mark.parametrize("kind", ["director-1-restarts", "all-directors-restart"])
@pytest.mark.parametrize("at", ["approve-flush", "approve-restore"])
@virtually
async def test_a_ring_that_forgets_is_set_back_and_counts_as_one_deviation(kind: str, at: str) -> None:
    """One restart undoes several changes at once; the run goes on."""
    async with a_run() as play:
        await play.reaches(at)
        await play.asks()
        await KINDS[kind].does(play, Here(name="", host="", life=play.life, act=_nothing))
        await asyncio.sleep(2 * ROUND)
        assert len(play.facts(fact.RingDeviated)) <= 1
        assert not play.ring.state.usable(play.backend.ip)
        assert await play.ends() == "done"
        assert play.broken() == []


async def _nothing() -> None:
    return None


@pytest.mark.parametrize(
    ("take_down", "step"),
    [(TakeDown.RUNBOOK, "director-down"), (TakeDown.RUNBOOK, "flush-users"), (TakeDown.MOVE_FIRST, "move-users")],
)
@virtually
async def test_a_ring_that_forgets_while_a_change_waits_for_its_proof_is_set_back_meanwhile(
    take_down: TakeDown, step: str
) -> None:
    """Seen: a flush waited its 90 s to be seen, and as long new users were sent to a stopped backend."""
    async with a_run(take_down=take_down) as play:
        await play.reaches(step)
        restarted = asyncio.Event()

        def restart() -> None:
            play.ring.restart_all_directors()
            restarted.set()

        play.after(step, restart)
        await restarted.wait()
        await asyncio.sleep(ROUND + 10)
        assert not play.ring.state.usable(play.backend.ip)
        assert play.ring.users_on("backend-3") == 0
        assert len(play.facts(fact.RingDeviated)) == 1
        assert await play.ends() == "done"
        assert play.broken() == []


@pytest.mark.parametrize(
    ("take_down", "step"),
    [
        *((TakeDown.RUNBOOK, step) for step in ("stop-lmtp", "stop-dovecot", "director-down", "flush-users")),
        *((TakeDown.MOVE_FIRST, step) for step in ("move-users", "stop-lmtp", "stop-dovecot", "director-down")),
    ],
)
@virtually
async def test_a_ring_that_forgets_just_before_a_change_is_judged_is_set_back_and_calls_nobody(
    take_down: TakeDown, step: str
) -> None:
    """What it waits for comes from the watch, whose next round may be later than it waits."""
    async with a_run(take_down=take_down) as play:
        await play.reaches("approve-flush")
        await play.asks()
        await play.approve(after=timedelta(seconds=31))  # right after a round of the watch
        await play.until(lambda run: run.step is not None and run.step.name == step)
        play.ring.restart_all_directors()
        assert await play.ends() == "done"
        assert play.broken() == []
        assert len(play.facts(fact.RingDeviated)) == 1
