"""A backend that boots while it is out: what the run believed of it is looked at again, said, and made again."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.harness.branches import from_step
from tests.harness.drill import Drill

STOPPED = (
    "mask-dovecot",
    "stop-was-clean",
    "install-packages",
    "install-config",
    "remove-old-metacache-database",
    "clean-metacache",
    "unmask-dovecot",
)
"""The steps at whose beginning dovecot is stopped by this run."""


@pytest.mark.parametrize("step", STOPPED)
@from_step()
async def test_a_boot_that_started_dovecot_in_the_upgrade_is_said_and_retry_stops_it_again(play: Drill) -> None:
    """The mask of that boot is gone, and dovecot may have started half upgraded: nothing goes on under it."""
    play.reboots_now()
    assert play.backend.serving
    await play.held()  # a check may see the running dovecot first; why it runs is told in the watch's next round
    run = await play.until(lambda run: "was booted, and" in run.reason, within=timedelta(minutes=2))
    assert "Retry goes on from “Stop dovecot on backend-3” again" in run.reason
    (told,) = play.thread(fact.BackendRebooted)
    assert "is no longer seen to be done" in told
    deleted = len(play.began("-delete"))
    await play.retry()
    assert await play.ends() == "done"
    assert len(play.began("systemctl stop dovecot")) == 2
    assert len(play.began("-delete")) - deleted <= 1
    assert play.ring.losses == []
    assert play.broken() == []


@pytest.mark.parametrize("step", ["director-down", "flush-users"])
@from_step()
async def test_a_boot_before_the_users_are_moved_is_seen_and_the_run_ends_well(play: Drill) -> None:
    """The users come first: they are moved, and the run looks again after that."""
    play.reboots_now()
    run = await play.until(lambda run: run.status in {Status.HELD, Status.ENDED, Status.ASKING})
    assert run.status is Status.HELD
    assert "was booted" in run.reason
    await play.retry()
    assert await play.ends() == "done"
    assert play.ring.losses == []
    assert play.broken() == []


@pytest.mark.parametrize("step", ["set-vhosts-to-zero", "drain", "approve-flush", "ring-is-still-whole", "stop-lmtp"])
@from_step()
async def test_a_boot_before_anything_was_stopped_loses_nothing_and_the_run_goes_on(play: Drill) -> None:
    """Dovecot is as it was: started with the host. It is said, and nobody is called."""
    play.reboots_now()
    assert await play.ends() == "done"
    (booted,) = play.facts(fact.BackendRebooted)
    assert booted.lost == ""
    assert play.broken() == []


@pytest.mark.parametrize("step", ["stop-lmtp", "stop-dovecot", "install-packages", "start-dovecot", "clean-metacache"])
@from_step()
async def test_a_boot_while_a_command_runs_is_found_when_its_end_is_looked_up(play: Drill, step: str) -> None:
    """Its end is never heard: what came of it is looked at, with a boot in mind."""
    play.backend.packages.takes = timedelta(seconds=20)
    await play.until(lambda run: run.status is Status.BUSY and run.step is not None and run.step.name == step)
    await asyncio.sleep(0.003)
    play.reboots_now()
    run = await play.until(lambda run: run.status in {Status.HELD, Status.ENDED, Status.ASKING})
    for _ in range(3):
        if run.status is Status.HELD:
            await play.retry()
            run = await play.until(lambda run: run.status in {Status.HELD, Status.ENDED, Status.ASKING})
    assert await play.ends() == "done"
    assert len(play.facts(fact.BackendRebooted)) == 1
    assert play.ring.losses == []
    assert play.broken() == []


@from_step("approve-restore")
async def test_a_boot_at_the_restore_gate_is_said_and_what_serves_is_put_back(play: Drill) -> None:
    """Dovecot was started by the boot as it is now: the approval shows it, and its guards look at it."""
    await play.asks()
    play.reboots_now()
    await asyncio.sleep(70)
    (booted,) = play.facts(fact.BackendRebooted)
    assert booted.lost == ""
    assert await play.ends() == "done"
    assert play.broken() == []


@from_step("approve-restore")
async def test_a_boot_at_the_restore_gate_after_which_dovecot_does_not_run_holds_before_users_come(play: Drill) -> None:
    """Retry starts it again; it is verified again, and asked for again."""
    await play.asks()
    play.backend.dovecot_unit.file_state = "disabled"
    play.reboots_now()
    run = await play.until(lambda run: run.status is Status.HELD)
    assert "Retry goes on from “Start dovecot on backend-3” again" in run.reason
    assert "take_over" in play.buttons()
    await play.retry()
    assert await play.ends() == "done"
    assert len(play.facts(fact.Approved)) == 2, "the flush, and the restore that was asked for again"
    assert play.broken() == []


@from_step("clean-metacache")
async def test_going_back_after_a_boot_undoes_what_is_left_to_undo(play: Drill) -> None:
    """The other way out of that hold."""
    play.reboots_now()
    await play.held()
    await play.go_back()
    assert await back_at_last(play) == "went back"
    assert play.backend.serving
    assert not play.backend.dovecot_unit.masked
    assert play.ring.state.usable(play.backend.ip)
    assert play.broken() == []


@pytest.mark.parametrize("number", range(6))
@from_step("unmask-dovecot")
async def test_a_boot_on_the_way_back_leaves_a_way_to_its_end(play: Drill, number: int) -> None:
    """What a boot has undone by itself may keep an undo from being seen done: then two engineers go on without it."""
    play.fails("unmask-dovecot")
    await play.held()
    await play.go_back()
    await play.until(lambda run: run.plan.back)
    steps = [step.name for step in play.run_now.plan.changes]
    await play.reaches(steps[min(number, len(steps) - 1)])
    play.reboots_now()
    assert await back_at_last(play) == "went back"
    assert play.ring.state.usable(play.backend.ip)
    assert play.backend.serving
    assert play.broken() == []


async def back_at_last(play: Drill) -> str:
    """How it ends, where people approve, retry, and skip what a retry does not mend."""
    tried = ""
    while (run := await play.until(lambda run: run.status in _STANDS)).status is not Status.ENDED:
        assert run.step is not None
        if run.status is Status.ASKING:
            await play.approve()
        elif tried != run.step.name:
            tried = run.step.name
            await play.retry()
        else:
            assert "skip" in play.buttons()
            await play.skip()
    return str(run.outcome)


_STANDS = {Status.HELD, Status.ENDED, Status.ASKING}
