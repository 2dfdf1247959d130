"""What is half done when something else happens: a restore, a stop in silence, a deletion, a word that is looked up."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.hosts.inventory import TakeDown
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.errors import MayHaveRun
from bot.practice.ring.fixtures import VMAIL
from bot.practice.ring.hosts import FLUSH_UNIT
from tests.build import SECOND
from tests.harness.branches import from_step
from tests.harness.drill import ROUND, Drill, a_run, virtually
from tests.harness.hooks import Hook
from tests.harness.test_deeds_in_trouble import nobody_knows
from tests.harness.test_deletion import nothing_deleted, stop_by_hand
from tests.harness.test_where_rules_meet import by_puppet, ring_forgets

_STANDS = {Status.HELD, Status.ENDED, Status.ASKING}


@pytest.mark.parametrize("order", list(TakeDown))
@virtually
async def test_one_forgetting_ring_in_the_middle_of_a_restore_is_one_deviation(order: TakeDown) -> None:
    """The backend is set down again; who came meanwhile stays, and is served: nobody keeps changing anything."""
    async with a_run(take_down=order) as play:
        await play.reaches("director-up")
        by_puppet(play)
        await play.asks()
        ring_forgets(play)
        await asyncio.sleep(240)
        said = [one.reason for one in play.facts(fact.RingDeviated)]
        assert not play.ring.state.usable(play.backend.ip)
        assert play.run_now.status is Status.ASKING, play.run_now.reason
        assert len(said) == 1, said


@from_step("director-up")
async def test_a_flush_in_the_middle_of_a_restore_is_seen_done(play: Drill) -> None:
    """Set down and flushed with dovecot dead: its users are moved, and the thread says so."""
    play.dovecot_dies()
    await play.held()
    ring_forgets(play)
    await asyncio.sleep(120)
    assert play.ring.users_on("backend-3") == 0
    back = play.facts(fact.RingSetBack)
    assert all(one.holds for one in back), [(one.step, one.reason) for one in back]


@from_step("clean-metacache")
async def test_a_metacache_emptied_by_hand_after_dovecot_ran_again_is_not_said_to_be_flushed(play: Drill) -> None:
    """Only the old database was removed after the flush; dovecot then ran, and what it wrote was removed by hand."""
    unit = play.backend.dovecot_unit
    unit.active, unit.sub = "active", "running"
    run = await play.held()
    assert play.sent("clean-metacache")[-1].ran.exit_status == 97
    assert run.step is not None
    assert run.step.name == "clean-metacache"
    assert not run.metacache.flushed
    unit.active, unit.sub = "inactive", "dead"
    for name in play.backend.disk.names(VMAIL):
        play.backend.disk.remove(f"{VMAIL}/{name}")
    await play.retry()
    await play.reaches("approve-restore")
    await play.asks()
    said = play.thread(fact.ApprovalAsked)[-1]
    assert "metacache was flushed" not in said, said


@from_step("stop-dovecot")
async def test_starting_dovecot_first_after_a_stop_made_by_hand_waits_for_no_slack(play: Drill) -> None:
    """Stopped at its console and skipped; the directors cannot be told. *Start dovecot again…*, and Slack goes away."""
    play.network.silence("backend-3", timedelta(minutes=5))
    await play.held()
    await play.backend.dovecot_unit.stop()
    play.fails("director-down", 9)
    await play.skip()
    run = await play.held()
    assert run.step is not None
    assert run.step.name == "director-down"
    assert run.users_wait
    await asyncio.sleep(200)
    assert play.ring.users_on("backend-3") > 0
    await play.go_back(start_first=True)
    play.slack.go_away()
    await asyncio.sleep(600)
    run = play.run_now
    assert play.backend.serving, f"{run.status} at {run.step and run.step.name}: {run.reason}"


@from_step("approve-restore")
async def test_a_moment_of_not_knowing_lapses_nothing_where_it_was_not_known_before_a_hold(play: Drill) -> None:
    """Not known for half a minute, then the run held for another reason; five minutes later again, for a moment."""
    await play.asks()
    known = play.people[SECOND]
    await play.approve()
    play.people[SECOND] = nobody_knows(SECOND)
    await asyncio.sleep(15)
    for _ in range(3):
        play.colleague_gives()
        await asyncio.sleep(31)
    await play.held()
    play.people[SECOND] = known
    await asyncio.sleep(240)
    play.people[SECOND] = nobody_knows(SECOND)
    await play.retry()
    await asyncio.sleep(10)
    assert play.facts(fact.ApprovalLapsed) == []


@from_step("stop-dovecot")
async def test_a_boot_after_a_skipped_stop_does_not_send_a_verified_backend_back_to_its_stop(play: Drill) -> None:
    """The stop was made by hand; long after dovecot was started again and verified, the host is booted."""
    play.network.silence("backend-3", timedelta(minutes=5))
    await play.held()
    await play.backend.dovecot_unit.stop()
    await play.skip()
    run = await play.held()
    await asyncio.sleep(200)
    await play.retry()
    while (run := await play.until(lambda run: run.status in _STANDS)).status is Status.HELD:
        await play.skip()  # no deletion, as nobody saw the flush
    assert run.step is not None
    assert run.step.name == "approve-restore"
    play.reboots_now()
    await asyncio.sleep(180)
    assert play.backend.serving
    run = play.run_now
    assert "Retry goes on from “Stop LMTP" not in run.reason, run.reason


@from_step("stop-dovecot")
async def test_a_cut_of_ninety_seconds_in_the_take_down_leaves_no_user_for_people_to_move(play: Drill) -> None:
    """The stop was done; the network is back after a minute and a half, and nobody is awake yet."""
    play.after("stop-dovecot", lambda: play.network.silence("backend-3", timedelta(seconds=90)))
    await asyncio.sleep(600)
    run = play.run_now
    assert play.ring.users_on("backend-3") == 0, f"{run.status} at {run.step and run.step.name}: {run.reason}"


@from_step("install-packages")
async def test_a_take_over_does_not_release_a_ring_that_forgot_with_the_host_switched_off(play: Drill) -> None:
    """Somebody took over because the host is dead; directors restart. The next backend may be taken out then."""
    play.fails("install-packages")
    await play.held()
    await play.take_over()
    play.dovecot_dies()
    play.network.silence("backend-3", timedelta(hours=3))
    ring_forgets(play)
    await asyncio.sleep(900)
    assert play.ring.users_on("backend-3") > 0
    assert play.run_now.status is Status.TAKEN, play.run_now.reason


@from_step("approve-restore")
async def test_a_moment_of_not_knowing_lapses_no_new_approval_where_an_older_one_has_lapsed(play: Drill) -> None:
    """Slack answered nothing for five minutes, and it was asked again; it is approved, and Slack stumbles once more."""
    await play.asks()
    known = play.people[SECOND]
    await play.approve()
    play.people[SECOND] = nobody_knows(SECOND)
    await play.until(lambda _: play.facts(fact.ApprovalLapsed))
    await play.asks()
    play.people[SECOND] = known
    await play.approve()
    play.people[SECOND] = nobody_knows(SECOND)
    await asyncio.sleep(20)
    assert len(play.facts(fact.ApprovalLapsed)) == 1


@virtually
async def test_a_stop_whose_users_were_moved_first_waits_for_a_silent_backend_as_any_other_change() -> None:
    """Nobody is mapped to it: nobody waits, and nobody need be called."""
    async with a_run(take_down=TakeDown.MOVE_FIRST) as play:
        await play.reaches("stop-dovecot")
        play.after("stop-dovecot", lambda: play.network.silence("backend-3", timedelta(seconds=90)))
        assert play.ring.users_on("backend-3") == 0
        await asyncio.sleep(240)
        run = play.run_now
        assert run.status is not Status.HELD, run.reason


@pytest.mark.parametrize("order", list(TakeDown))
@virtually
async def test_a_look_of_the_watch_that_is_slow_through_the_restore_takes_nothing_back(order: TakeDown) -> None:
    """It began before the restore did, and read the vhosts that the restore had given: nobody else gave them."""
    async with a_run(take_down=order) as play:
        await play.reaches("approve-restore")
        await play.asks()
        given = asyncio.Event()
        slow: list[Hook] = []

        async def a_slow_look_begins() -> None:
            slow.extend(
                play.before(f"{name} doveadm -f tab director status", given.wait) for name in play.ring.directors
            )
            await asyncio.sleep(ROUND)

        async def vhosts_are_given() -> None:
            given.set()
            await asyncio.sleep(1)

        play.before("journal.append StepDone:ring-is-whole-for-the-restore", a_slow_look_begins)
        play.before("journal.append StepDone:set-vhosts-back", vhosts_are_given)
        assert await play.ends() == "done"
        assert slow
        assert not [hook for hook in slow if hook in play.points.hooks]
        assert play.facts(fact.RingDeviated) == []
        assert len(play.began("director down")) == 1


# a stop that failed


def unheard() -> None:
    raise MayHaveRun("backend-3: the command was sent and its end was not heard.")


@pytest.mark.parametrize("stopped_too", [True, False])
@from_step("stop-lmtp")
async def test_nothing_is_deleted_that_nobody_flushed_where_a_stop_failed_and_its_host_was_silent(
    play: Drill, *, stopped_too: bool
) -> None:
    """Somebody stops the flush unit then, perhaps dovecot too: that it was active before the first stop is long ago."""
    play.fails("stop-dovecot")
    shown = "hosts.run backend-3 systemctl show"
    play.before("hosts.run backend-3 systemctl stop dovecot", lambda: play.before(shown, unheard, always=True))
    await play.held()
    assert play.backend.serving
    play.points.hooks.clear()
    stop_by_hand(play)
    await asyncio.sleep(300)
    if stopped_too:
        await play.backend.dovecot_unit.stop()
    else:
        play.before(f"dovecot {FLUSH_UNIT}", unheard)
    await play.retry()
    await play.until(lambda run: run.status in _STANDS)
    assert nothing_deleted(play), play.ring.losses
