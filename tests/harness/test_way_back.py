"""The way back under the same attacks: it may fail, expire, be denied, be interrupted, and always leaves a way on."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import REQUESTER, SECOND
from tests.examples import pairs
from tests.harness.branches import from_step
from tests.harness.drill import LONG, Drill, a_run, virtually

UNDOS = (
    "undo-install-config",
    "undo-install-packages",
    "undo-mask-dovecot",
    "undo-stop-dovecot",
    "undo-director-down",
    "undo-set-vhosts-to-zero",
)
_STANDS = {Status.HELD, Status.ENDED, Status.ASKING}


async def turned(play: Drill) -> None:
    """It has emptied the metacache and goes back from there."""
    await play.reaches("unmask-dovecot")
    play.fails("unmask-dovecot")
    await play.held()
    await play.go_back()
    await play.until(lambda run: run.plan.back)


def is_as_before(play: Drill) -> bool:
    unit = play.backend.dovecot_unit
    return play.backend.serving and not unit.masked and play.ring.state.usable(play.backend.ip)


@pytest.mark.parametrize(("step", "why"), pairs(UNDOS, ["failed", "expired", "giver left", "killed"]))
@from_step("unmask-dovecot")
async def test_the_way_back_goes_on_from_every_undo(play: Drill, step: str, why: str) -> None:
    """Its approval lapses as any other does, and is asked for at the step at hand, for what is left."""
    await turned(play)
    await play.reaches(step)
    if why == "killed":
        await play.restart_bot()
    else:
        play.fails(step)
        await play.held()
        assert {"retry", "take_over"} <= play.buttons()
        if why == "giver left":
            play.leaves_the_company(SECOND)
        await play.retry(after=LONG if why == "expired" else timedelta(0))
    if why in {"expired", "giver left"}:
        await play.asks()
        assert play.facts(fact.ApprovalAsked)[-1].step == step
    assert await play.ends() == "went back"
    assert is_as_before(play)
    assert play.broken() == []


@pytest.mark.parametrize("step", ["undo-install-packages", "undo-stop-dovecot", "undo-director-down"])
@from_step("unmask-dovecot")
async def test_not_now_on_the_way_back_leaves_everything_as_it_is_and_retry_asks_again(play: Drill, step: str) -> None:
    """It is no end: people think again."""
    await turned(play)
    await play.reaches(step)
    play.fails(step)
    await play.held()
    await play.retry(after=LONG)
    await play.asks()
    await play.put_off()
    run = await play.held()
    assert "at three, not now" in run.reason
    await play.retry()
    await play.asks()
    assert await play.ends() == "went back"
    assert is_as_before(play)


@pytest.mark.parametrize("step", ["undo-mask-dovecot", "undo-stop-dovecot", "undo-install-packages"])
@from_step("unmask-dovecot")
async def test_whoever_takes_over_on_the_way_back_ends_it(play: Drill, step: str) -> None:
    """The button is there too."""
    await turned(play)
    await play.reaches(step)
    play.fails(step)
    await play.held()
    await play.take_over()
    with pytest.raises(Refused):
        await play.retry()
    await play.leave_out()
    assert str((await play.until(lambda run: run.status is Status.ENDED)).outcome) == "taken over"
    assert play.journal.rings == {}


@from_step("approve-restore")
async def test_a_way_back_stops_dovecot_only_while_nobody_is_mapped_who_could_go_nowhere_else(play: Drill) -> None:
    """The start is undone by a stop: somebody who was given to it meanwhile has somewhere else to go, or it holds."""
    await play.asks()
    stops = len(play.began("systemctl stop dovecot"))
    play.others_out()
    play.ring.state.move("somebody", play.backend.ip, play.ring.now())
    await play.go_back()
    while (run := await play.until(lambda run: run.status in _STANDS)).status is Status.ASKING:
        await play.approve()
    assert run.status is Status.HELD
    assert "stranded" in run.reason
    assert len(play.began("systemctl stop dovecot")) == stops
    play.others_back()
    await play.retry()
    assert await play.ends() == "went back"
    assert is_as_before(play)
    assert play.broken() == []


@from_step("unmask-dovecot")
async def test_a_way_back_gives_no_users_to_a_dead_dovecot(play: Drill) -> None:
    """`up` and vhosts above 0 have their row on every path."""
    await turned(play)
    await play.reaches("undo-director-down")
    play.dovecot_dies()
    run = await play.held_in_the_end()
    assert run.step is not None
    assert play.began("director up ") == []
    await asyncio.sleep(120)
    assert play.began("director up ") == []
    play.backend.dovecot_unit.start()
    await play.retry()
    assert await play.ends() == "went back"
    assert is_as_before(play)


@pytest.mark.parametrize("step", ["set-vhosts-back", "director-up", "users-come-back"])
@virtually
async def test_a_restore_that_was_begun_is_retried_or_taken_over_and_never_turned(step: str) -> None:
    """Taking users away who have come back is a run of its own; the thread offers no button that is refused."""
    async with a_run() as play:
        await play.reaches("director-up" if step == "users-come-back" else step)
        if step == "users-come-back":
            play.before("StepDone:director-up", play.dovecot_dies)
        else:
            play.fails(step)
        await play.held()
        assert not {"go_back", "start_again"} & play.buttons()
        assert {"retry", "take_over"} <= play.buttons()
        with pytest.raises(Refused, match="being put back"):
            await play.go_back()
        if step == "users-come-back":
            play.backend.dovecot_unit.start()
        await play.retry()
        assert await play.ends() == "done"
        assert is_as_before(play)


@from_step("unmask-dovecot")
async def test_a_set_back_of_the_ring_on_the_way_back_is_as_on_the_way_there(play: Drill) -> None:
    """While it is out the ring is watched, whichever way the run goes."""
    await turned(play)
    await play.reaches("undo-install-packages")
    play.fails("undo-install-packages")
    await play.held()
    play.colleague_gives()
    await play.until(lambda run: run.ring.deviations == 1)
    await asyncio.sleep(10)
    assert not play.ring.state.usable(play.backend.ip)
    await play.retry()
    assert await play.ends() == "went back"
    assert is_as_before(play)
    assert play.broken() == []


@pytest.mark.parametrize("step", ["approve-flush", "approve-restore"])
@from_step()
async def test_two_engineers_alone_at_night_bring_a_backend_back(play: Drill) -> None:
    """Four eyes are two persons: one asked for the run, the other one asked to go back."""
    await play.asks()
    await play.go_back(by=SECOND)
    while (run := await play.until(lambda run: run.status in _STANDS)).status is Status.ASKING:
        assert run.asked is not None
        with pytest.raises(Refused, match="asked to go back"):
            await play.approve_as(SECOND)
        await play.approve_as(REQUESTER)
    assert str(run.outcome) == "went back"
    assert is_as_before(play)


@from_step("set-vhosts-to-zero")
async def test_vhosts_that_were_taken_by_hand_are_not_forgotten_when_it_goes_back(play: Drill) -> None:
    """Seen: the step was skipped, and the run ended with the backend at vhost count 0: nothing was to be undone."""
    play.others_out()
    await play.held()
    play.others_back()
    play.colleague_gives(vhosts=0, up=None)
    with pytest.raises(Refused, match="click Retry"):
        await play.skip()
    await play.retry()
    await play.reaches("approve-flush")
    await play.asks()
    await play.go_back()
    assert await play.ends() == "went back"
    assert play.ring.state.usable(play.backend.ip)
