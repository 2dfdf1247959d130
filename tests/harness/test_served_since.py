"""Nothing is deleted of what a dovecot wrote that somebody started and stopped again, between two looks of the bot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.practice.ring.hosts import FLUSH_UNIT
from bot.practice.values import Call, Sent
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually


async def systemctl(play: Drill, *words: str) -> None:
    """A colleague at the backend's console."""
    answer = play.backend.programs["systemctl"](Call(args=words, stdin=Sent()))
    answer = await answer if isinstance(answer, Awaitable) else answer
    assert not answer.exit_status, answer


async def serves_and_is_stopped_without_a_flush(play: Drill, seconds: float) -> None:
    """The unit was stopped alone before, so that the stop of dovecot uploads nothing."""
    await systemctl(play, "start", "dovecot")
    await asyncio.sleep(seconds)
    await systemctl(play, "stop", FLUSH_UNIT)
    await systemctl(play, "stop", "dovecot")
    assert not play.backend.metacache_flushed


def at_an_end(run: Run) -> bool:
    """It holds, or is through with what it deletes."""
    return run.status is Status.HELD or (run.step is not None and run.step.name == "unmask-dovecot")


@pytest.mark.parametrize(
    "step", ["install-packages", "install-config", "remove-old-metacache-database", "clean-metacache"]
)
@from_step()
async def test_what_a_dovecot_wrote_that_served_while_the_run_held_is_not_deleted(play: Drill, step: str) -> None:
    """Unmasked and tried for five minutes, stopped and masked again: each look of the run finds it as it was."""
    play.fails(step)
    await play.held()
    await systemctl(play, "unmask", "--runtime", "dovecot")
    await serves_and_is_stopped_without_a_flush(play, 300)
    await systemctl(play, "mask", "--runtime", "dovecot")
    await play.retry()
    run = await play.until(at_an_end)
    assert "dovecot was started since its stop flushed the metacache" in run.reason
    await play.retry()
    run = await play.until(at_an_end)
    assert "the metacache was not seen to be flushed" in run.reason
    await play.go_back()
    while (run := await play.until(lambda run: run.status in {Status.ASKING, Status.ENDED})).status is Status.ASKING:
        await play.approve()
    assert str(run.outcome) == "went back"
    assert play.ring.losses == []


@pytest.mark.parametrize("order", list(TakeDown))
@virtually
async def test_nor_what_one_wrote_that_served_for_a_moment_before_the_mask(order: TakeDown) -> None:
    """Users are moved between the stop and the mask, for minutes where there are many; nobody clicks anything."""
    async with a_run(take_down=order) as play:
        await play.reaches("director-down")
        play.before("StepDone:director-down", lambda: serves_and_is_stopped_without_a_flush(play, 0.5))
        run = await play.until(at_an_end)
        assert "dovecot was started since its stop flushed the metacache" in run.reason
        assert play.ring.losses == []


@from_step("install-packages")
async def test_a_start_that_systemd_does_not_name_is_not_said_to_be_another(play: Drill) -> None:
    """Nothing is deleted then, as nothing is known."""
    play.fails("install-packages")
    await play.held()
    play.backend.dovecot_unit.invocation = ""
    await play.retry()
    run = await play.until(at_an_end)
    assert "systemd does not say which start of dovecot was the last" in run.reason
    assert play.ring.losses == []


@pytest.mark.parametrize("step", ["install-packages", "install-config"])
@from_step()
async def test_nothing_is_installed_or_swapped_under_a_dovecot_that_somebody_started(play: Drill, step: str) -> None:
    """While the run held: packages restart what serves, and its configuration is not changed under it."""
    play.fails(step)
    await play.held()
    await systemctl(play, "unmask", "--runtime", "dovecot")
    await systemctl(play, "start", "dovecot")
    await play.retry()
    run = await play.until(at_an_end)
    assert "dovecot active is active, expected inactive or failed" in run.reason
    assert play.sent(step) == []
