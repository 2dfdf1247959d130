"""Where two rules meet that were each written for itself: deeds of the bot that harm, in whole runs in virtual time."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from datetime import timedelta

import pytest

from bot.core.decisions.goback import going_back
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.ring.hosts import FLUSH_UNIT
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually

_STANDS = {Status.HELD, Status.ENDED, Status.ASKING}


def by_puppet(play: Drill) -> None:
    """The configuration in place is not the verified one any more."""
    play.backend.disk.write("/etc/dovecot/local.conf", b"# by Puppet\n")


def ring_forgets(play: Drill) -> None:
    """All directors restart at once, so that every backend is up at 100; somebody logs in."""
    play.ring.restart_all_directors()
    play.ring.state.move("somebody", play.backend.ip, play.ring.now())


async def before_the_restore(play: Drill, step: str) -> None:
    """The restore is approved, nothing of it was sent, and it is asked again: the backend is not what was verified."""
    if step.startswith("undo-"):
        await play.reaches("approve-restore")
        await play.asks()
        await play.go_back()
    await play.reaches(step)
    by_puppet(play)
    await play.asks()
    assert play.began("director up ") == []
    assert not any(one.text.endswith(" 100") for one in play.began("director update"))


@pytest.mark.parametrize("dies", [False, True])
@pytest.mark.parametrize("step", ["set-vhosts-back", "undo-director-down"])
@from_step("approve-restore")
async def test_a_ring_that_forgets_while_an_approved_restore_is_asked_for_again_is_set_back(
    play: Drill, step: str, dies: bool
) -> None:
    """Nothing was given back yet: the watch has to go on, or users stay on a backend that is not verified, or dead."""
    await before_the_restore(play, step)
    if dies:
        play.dovecot_dies()
    ring_forgets(play)
    await asyncio.sleep(600)
    assert not play.ring.state.usable(play.backend.ip)
    assert not dies or play.ring.users_on("backend-3") == 0, "none that serves is flushed"


@from_step("approve-restore")
async def test_a_restore_that_the_ring_made_by_itself_is_no_way_round_what_was_verified(play: Drill) -> None:
    """It held because of the configuration; after a restart of the directors it once ended as done."""
    await before_the_restore(play, "set-vhosts-back")
    ring_forgets(play)
    await asyncio.sleep(600)
    assert play.run_now.status is Status.ASKING


@from_step("stop-dovecot")
async def test_a_flush_unit_seen_active_before_a_stop_that_never_came_makes_the_next_stop_no_flush(play: Drill) -> None:
    """The first stop got lost with the network; an hour later somebody had stopped the unit, and dovecot served on."""
    cut = timedelta(minutes=30)
    play.before("hosts.run backend-3 systemctl stop", lambda: play.network.silence("backend-3", cut))
    await play.until(lambda run: run.status is Status.HELD)
    await asyncio.sleep(3600)
    assert play.backend.serving
    unit = play.backend.units[FLUSH_UNIT]
    unit.active, unit.sub = "inactive", "dead"
    await play.retry()
    await play._goes_well(
        lambda run: run.status is Status.HELD or (run.step is not None and run.step.name == "unmask-dovecot")
    )
    assert play.ring.losses == []


@from_step("stop-dovecot")
async def test_a_stop_that_was_sent_and_is_skipped_leaves_no_user_waiting(play: Drill) -> None:
    """Dovecot is stopped, as the console shows, and SSH to it is dead: two engineers go on without seeing the stop."""
    play.after("stop-dovecot", lambda: play.network.silence("backend-3", timedelta(hours=3)))
    run = await play.until(lambda run: run.status is Status.HELD)
    assert run.users_wait
    assert play.ring.users_on("backend-3") > 0
    await play.skip()
    await asyncio.sleep(120)
    assert play.began("director flush") != [], play.run_now.reason
    assert play.ring.users_on("backend-3") == 0


@from_step("install-packages")
async def test_nothing_more_is_sent_to_the_ring_once_somebody_has_taken_over(play: Drill) -> None:
    """The watch was setting back what a colleague gave, and went on to down and flush after they had taken over."""
    play.fails("install-packages")
    await play.held()
    play.colleague_gives()
    play.before("hosts.run director-1 doveadm director update", lambda: play.later(timedelta(0), play.take_over))
    await play.until(lambda run: run.status is Status.TAKEN)
    taken = play.ring.now()
    await asyncio.sleep(120)
    after = [one.text for one in play.watching.begun if one.ran.not_after is not None and one.sent > taken]
    assert after == []


async def users_wait_behind_a_mask(play: Drill) -> None:
    """The flush failed and was skipped; its users are still there."""
    await play.reaches("flush-users")
    play.fails("flush-users")
    await play.held()
    await play.skip()


@from_step("flush-users")
async def test_starting_dovecot_first_waits_for_no_slack_at_its_mask(play: Drill) -> None:
    """The start itself waits for nobody; the unmask right before it does."""
    await users_wait_behind_a_mask(play)
    await play.reaches("stop-was-clean")
    play.backend.dovecot_unit.result = "timeout"
    run = await play.held()
    assert run.users_wait
    await play.go_back(start_first=True)
    play.slack.go_away()
    await asyncio.sleep(600)
    assert play.backend.serving


@pytest.mark.parametrize("step", ["mask-dovecot", "stop-dovecot"])
@virtually
async def test_a_way_back_does_not_end_with_what_undoes_the_undoing_of_a_skipped_step(step: str) -> None:
    """It masks, or stops, dovecot as the undo of the later step, and nothing of the plan starts it again."""
    async with a_run(text="backend-3 restart=yes") as play:
        await play.reaches(step)
        play.network.away("backend-3", timedelta(minutes=5))
        run = await play.held()
        assert run.reason.startswith("not begun")
        if step == "stop-dovecot":
            await play.backend.dovecot_unit.stop()
        await asyncio.sleep(330)
        await play.skip()
        while (run := await play.until(lambda run: run.status in _STANDS)).status is Status.HELD:
            await play.skip()  # no deletion, as nobody saw the flush
        await play.go_back()
        while (run := await play.until(lambda run: run.status in _STANDS)).status is Status.ASKING:
            await play.approve()
        assert run.status is Status.ENDED, run.reason
        assert play.backend.serving


@pytest.mark.parametrize("back", [False, True])
@from_step("flush-users")
async def test_a_ring_that_forgets_after_a_skipped_flush_leaves_no_user_on_the_stopped_backend(
    play: Drill, back: bool
) -> None:
    """The users had been flushed by hand; those whom the ring then gives to the stopped backend are moved by nobody."""
    play.fails("flush-users")
    await play.held()
    for user in [user for user, at in play.ring.state.mapped.items() if at.backend == play.backend.ip]:
        play.ring.state.move(user, play.ring.backends["backend-1"].ip, play.ring.now())
    await play.skip()
    await play.reaches("install-packages")
    play.fails("install-packages")
    await play.held()
    if back:
        await play.go_back()
        await play.asks()
    assert play.ring.users_on("backend-3") == 0
    ring_forgets(play)
    await asyncio.sleep(180)
    assert not play.backend.serving
    assert play.ring.users_on("backend-3") == 0


@from_step("director-up")
async def test_a_restore_made_by_hand_of_what_was_not_verified_is_asked_for_all_the_same(play: Drill) -> None:
    """What is found done needs nobody's word, but users come only to what was verified."""
    by_puppet(play)
    await play.asks()
    play.colleague_gives(vhosts=None)
    await play.put_off()
    await play.held()
    await play.retry()
    run = await play.until(lambda run: run.status in _STANDS)
    assert run.status is Status.ASKING


@from_step("stop-dovecot")
async def test_people_are_called_soon_where_a_backend_goes_silent_as_it_is_stopped(play: Drill) -> None:
    """A stop may take ten minutes; but its users wait, and nobody moves them before people say so."""
    play.after("stop-dovecot", lambda: play.network.silence("backend-3", timedelta(hours=3)))
    began = play.ring.now()
    assert (await play.held()).users_wait
    assert play.ring.now() - began < timedelta(minutes=5)


def dovecot_dies(play: Drill) -> None:
    """Between the two looks before the restore."""
    play.before("hosts.run backend-3 systemctl show", play.dovecot_dies)


def never_runs(play: Drill) -> None:
    """The connection to a director is lost right before the restore is sent, each time."""
    for name in play.ring.directors:
        play.before(f"{name} doveadm director update", functools.partial(play.network.drop, name), always=True)


@pytest.mark.parametrize("spoil", [dovecot_dies, never_runs])
@from_step("set-vhosts-back")
async def test_a_ring_that_forgets_while_an_approved_restore_is_held_unsent_is_set_back(
    play: Drill,
    spoil: Callable[[Drill], None],
) -> None:
    """It holds; the ring gives it users, who may find nobody there."""
    spoil(play)
    run = await play.held()
    assert run.failed == "set-vhosts-back"
    assert Gate.RESTORE in run.granted
    assert play.sent("set-vhosts-back") == []
    play.points.hooks.clear()
    ring_forgets(play)
    await asyncio.sleep(600)
    assert not play.ring.state.usable(play.backend.ip)


@from_step("stop-lmtp")
async def test_what_certainly_never_ran_is_not_said_to_be_begun(play: Drill) -> None:
    """Its connection was lost right before it was sent, each time; going back has nothing of it to undo."""
    play.before("doveadm service stop lmtp", lambda: play.network.drop("backend-3"), always=True)
    run = await play.held()
    assert play.facts(fact.StepStarted)[-1].step == "stop-lmtp"
    assert "Begun, and not known" not in play.thread(fact.StepFailed)[-1]
    back = going_back(run)
    assert back is not None
    assert [step.name for step in back.changes] == ["undo-set-vhosts-to-zero"]
