"""Deeds of the bot that hurt where two things happen at once, in whole runs in virtual time."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.core.decisions.approval import Person
from bot.core.decisions.goback import going_back
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.build import SECOND
from tests.harness.branches import from_step
from tests.harness.drill import Drill, a_run, virtually
from tests.harness.play import RUN
from tests.harness.test_where_rules_meet import by_puppet, ring_forgets

_STANDS = {Status.HELD, Status.ENDED, Status.ASKING}


def nobody_knows(user: str) -> Person:
    """As where Slack takes messages, and does not answer users.info."""
    return Person(id=user, may_ask=False, may_approve=False, barred="Slack does not say", unsure=True)


def since(play: Drill, before: int) -> list[str]:
    """The kinds of the facts that came after the first so many."""
    return [type(one.fact).__name__ for one in play.journal.facts[RUN][before:]]


@from_step("approve-restore")
async def test_a_verification_that_is_skipped_on_the_way_back_lets_its_restore_be_asked_for(play: Drill) -> None:
    """It had passed on the way there; then the test user's mailbox breaks. No step is left that could be skipped."""
    await play.asks()
    await play.go_back()
    await play.asks()
    play.backend.dovecot.mailboxes_empty = True
    await play.approve()
    run = await play.held()
    assert run.step is not None
    assert run.step.name == "test-user-reads-mail"
    await play.skip()
    run = await play.until(lambda run: run.status in _STANDS)
    assert run.status is Status.ASKING, f"{run.step and run.step.name}: {run.reason}"
    assert "was skipped" in play.thread(fact.ApprovalAsked)[-1]


@from_step("install-packages")
async def test_a_ring_that_forgets_while_a_boot_is_held_leaves_nobody_on_a_dovecot_that_died(play: Drill) -> None:
    """The boot started dovecot half upgraded, the run holds, dovecot dies: vhosts are set back, users are not moved."""
    play.reboots_now()
    await play.until(lambda run: "was booted, and" in run.reason and run.status is Status.HELD)
    play.dovecot_dies()
    ring_forgets(play)
    await asyncio.sleep(600)
    assert [one.step for one in play.facts(fact.RingSetBack)] != []
    assert play.ring.users_on("backend-3") == 0


@pytest.mark.parametrize("back", [False, True])
@virtually
async def test_a_ring_that_forgets_in_the_middle_of_a_restore_gives_nobody_to_a_dead_dovecot_unseen(back: bool) -> None:
    """Of the two commands one was sent, and gave nobody users; the other holds, as dovecot died. Then all restart."""
    async with a_run() as play:
        if back:
            await play.reaches("approve-restore")
            await play.asks()
            await play.go_back()
        await play.reaches("undo-set-vhosts-to-zero" if back else "director-up")
        assert not play.ring.state.usable(play.backend.ip)
        play.dovecot_dies()
        await play.held()
        before = len(play.journal.facts[RUN])
        ring_forgets(play)
        await asyncio.sleep(1200)
        called = since(play, before)
        assert called or play.ring.users_on("backend-3") == 0, "nobody is called, and nothing is set back"


@from_step("approve-restore")
async def test_a_ring_that_forgets_as_the_second_half_of_a_way_back_is_asked_for_again_is_set_back(play: Drill) -> None:
    """`up` at vhosts 0 gives users to nobody; that it was sent ended the watch, and what is not verified gets users."""
    await play.asks()
    await play.go_back()
    await play.reaches("undo-set-vhosts-to-zero")
    by_puppet(play)
    await play.asks()
    assert not any(one.text.endswith(" 100") for one in play.began("director update"))
    ring_forgets(play)
    await asyncio.sleep(300)
    assert not play.ring.state.usable(play.backend.ip)


@pytest.mark.parametrize("at", ["set-vhosts-back", "stop-dovecot"])
@virtually
async def test_a_run_does_not_wait_for_ever_unseen_for_who_approved_to_be_looked_up(at: str) -> None:
    """LMTP is stopped, or all is verified: after five minutes the approval is asked for again, and people see it."""
    async with a_run() as play:
        if at == "stop-dovecot":
            await play.reaches(at)
            play.fails(at)
            await play.held()
            play.people[SECOND] = nobody_knows(SECOND)
            await play.retry()
        else:
            await play.reaches("approve-restore")
            await play.asks()
            await play.approve()
            play.people[SECOND] = nobody_knows(SECOND)
        before = len(play.journal.facts[RUN])
        await asyncio.sleep(360)
        assert play.run_now.status in _STANDS, since(play, before)
        assert "it cannot be looked up whether" in play.thread(fact.ApprovalLapsed)[-1]


@from_step("install-packages")
async def test_a_take_over_does_not_release_a_ring_that_forgot_with_dovecot_stopped(play: Drill) -> None:
    """Whoever took over works on it; directors restart. The run ends as “in use”, and the next backend may be taken."""
    play.fails("install-packages")
    await play.held()
    await play.take_over()
    assert not play.backend.serving
    ring_forgets(play)
    await asyncio.sleep(600)
    assert not play.backend.serving
    assert play.ring.users_on("backend-3") > 0
    assert play.run_now.status is Status.TAKEN, play.run_now.reason


@from_step("stop-dovecot")
async def test_a_stop_that_was_made_by_hand_and_skipped_has_its_users_moved(play: Drill) -> None:
    """SSH to it is away, so it was never sent; it is stopped at its console, and two engineers say so by a skip."""
    play.network.silence("backend-3", timedelta(hours=3))
    await play.held()
    await play.backend.dovecot_unit.stop()
    await play.skip()
    await asyncio.sleep(300)
    run = play.run_now
    assert run.step is not None
    assert play.began("director flush") != [], f"{run.status} at {run.step.name}: {run.reason}"
    assert play.ring.users_on("backend-3") == 0


@from_step("stop-lmtp")
async def test_users_are_moved_where_lmtp_was_skipped_and_the_stop_was_sent_and_skipped(play: Drill) -> None:
    """Nothing that disturbs was seen done: the flush asks for a ring as whole as before the first stop."""
    play.fails("stop-lmtp")
    await play.held()
    await play.skip()
    await play.reaches("stop-dovecot")
    play.after("stop-dovecot", lambda: play.network.silence("backend-3", timedelta(hours=3)))
    assert (await play.held()).users_wait
    await play.skip()
    await asyncio.sleep(300)
    run = play.run_now
    assert run.step is not None
    assert play.began("director flush") != [], f"{run.status} at {run.step.name}: {run.reason}"
    assert play.ring.users_on("backend-3") == 0


@from_step("stop-dovecot")
async def test_starting_dovecot_first_after_a_stop_in_doubt_waits_for_no_slack(play: Drill) -> None:
    """The stop was sent, its end not heard; offered as *Start dovecot again…*. Turned round, nobody waits any more."""
    play.after("stop-dovecot", lambda: play.network.silence("backend-3", timedelta(minutes=5)))
    assert (await play.held()).users_wait
    await asyncio.sleep(200)
    assert play.ring.users_on("backend-3") > 0
    await play.go_back(start_first=True)
    play.slack.go_away()
    await asyncio.sleep(600)
    assert play.backend.serving


@from_step("set-vhosts-back")
async def test_a_restore_that_lapsed_is_not_asked_for_at_the_start_of_a_dovecot_that_a_boot_left_stopped(
    play: Drill,
) -> None:
    """Retry is to start it; nobody is asked whether a stopped dovecot gets users."""
    by_puppet(play)
    await play.asks()
    play.backend.dovecot_unit.file_state = "disabled"
    play.reboots_now()
    run = await play.until(lambda run: run.status is Status.HELD)
    assert "Retry goes on from “Start dovecot on backend-3” again" in run.reason
    await play.retry()
    run = await play.asks()
    assert run.step is not None
    assert (run.step.name, play.backend.serving) == ("approve-restore", True)


@from_step("install-packages")
async def test_what_was_made_by_hand_and_skipped_is_undone_also_after_a_boot_sent_the_run_back(play: Drill) -> None:
    """Never begun by the run, done by hand, skipped. Before the boot the way back undoes it; after it, not."""
    before = dict(play.backend.packages.installed)
    play.network.away("backend-3", timedelta(minutes=2))
    await play.held()
    await asyncio.sleep(150)
    play.backend.packages.installed |= {
        name: version.replace("deb12u6", "deb12u7") for name, version in before.items() if "dovecot" in name
    }
    await play.skip()
    await play.reaches("unmask-dovecot")
    back = going_back(play.run_now)
    assert back is not None
    assert "undo-install-packages" in [one.name for one in back.changes]
    play.reboots_now()
    await play.until(lambda run: "was booted, and" in run.reason and run.status is Status.HELD)
    back = going_back(play.run_now)
    assert back is not None
    assert "undo-install-packages" in [one.name for one in back.changes]
