"""Sentences that were false once in a state that a run can reach: each is read in a run that reaches it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from bot.adapters.slack.messages.ring import ready
from bot.adapters.slack.messages.root import root
from bot.core.hosts.inventory import TakeDown
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from tests.harness.branches import from_step
from tests.harness.drill import LONG, TEXT, Drill, a_run, virtually
from tests.harness.hooks import wording
from tests.harness.play import RUN


@from_step("set-vhosts-to-zero")
async def test_vhosts_that_were_seen_not_to_be_taken_are_not_said_to_be_0(play: Drill) -> None:
    play.fails("set-vhosts-to-zero", times=9)
    await play.held()
    assert play.ring.state.usable(play.backend.ip), "it gets new users all the time"
    said = play.thread(fact.StepFailed)[-1]
    assert "stays at vhost count 0" not in said
    assert "without new users" not in wording(root(play.run_now))


@from_step("approve-restore")
async def test_a_backend_that_was_given_users_and_is_left_so_is_not_said_to_stay_at_0(play: Drill) -> None:
    await play.asks()
    play.others_out()
    play.colleague_gives()
    await play.until(lambda run: run.status is Status.HELD)
    assert play.ring.state.usable(play.backend.ip)
    said = play.thread(fact.RunHeld)[-1]
    assert "has been given users again" in said
    assert "stays at vhost count 0" not in said


@from_step("director-up")
async def test_a_restore_that_is_asked_again_halfway_does_not_say_that_the_vhosts_are_0(play: Drill) -> None:
    play.fails("director-up")
    await play.held()
    await play.retry(after=LONG)
    await play.asks()
    asked = play.facts(fact.ApprovalAsked)[-1]
    assert asked.step == "director-up"
    assert "set-vhosts-back" in play.run_now.seen_done
    assert "stays at vhost count 0" not in play.thread(fact.ApprovalAsked)[-1]


@from_step("approve-restore")
async def test_a_run_that_ended_as_its_backend_is_in_use_does_not_say_for_ever_that_it_is_out(play: Drill) -> None:
    await play.asks()
    await play.take_over()
    play.colleague_gives()
    run = await play.until(lambda run: run.status is Status.ENDED)
    assert "gives the backend users again" in run.reason
    assert "without new users, since" not in wording(root(run))


async def comes_back_between_the_stops(play: Drill) -> None:
    """In the move-first order somebody is mapped again after LMTP was stopped, and before dovecot is."""
    await play.reaches("stop-dovecot")
    play.ring.state.move("somebody", play.backend.ip, play.ring.now())
    await play.until(lambda _run: play.facts(fact.UsersCameBack))
    assert len(play.sent("stop-lmtp")) == 1


@virtually
async def test_what_has_lmtp_stopped_is_not_said_to_be_before_any_stop() -> None:
    async with a_run(text=TEXT, take_down=TakeDown.MOVE_FIRST) as play:
        await comes_back_between_the_stops(play)
        assert "before anything stops" not in "".join(play.thread(fact.UsersCameBack))


@virtually
async def test_what_has_lmtp_stopped_does_not_only_stand_at_vhost_count_0() -> None:
    async with a_run(text=TEXT, take_down=TakeDown.MOVE_FIRST) as play:
        await comes_back_between_the_stops(play)
        assert "is only at vhost count 0" not in ready(play.run_now)


@from_step("stage-config")
async def test_a_backend_that_is_booted_before_it_is_out_was_not_booted_while_it_was_out(play: Drill) -> None:
    play.reboots_now()
    await play.until(lambda _run: play.facts(fact.BackendRebooted))
    assert play.run_now.ring.out_since is None
    assert "while it was out" not in play.thread(fact.BackendRebooted)[-1]


@virtually
async def test_nor_one_that_is_booted_once_it_is_back() -> None:
    async with a_run() as play:
        play.nobody_logs_in()
        await play.reaches("users-come-back")
        play.reboots_now()
        play.backend.dovecot_unit.start()
        await play.until(lambda run: play.facts(fact.BackendRebooted) or run.status is Status.ENDED)
        assert play.facts(fact.BackendRebooted), "the watch sees it"
        assert "while it was out" not in play.thread(fact.BackendRebooted)[-1]


@from_step("approve-restore")
async def test_a_restore_asked_again_as_the_test_user_reads_no_mail_does_not_say_that_it_does(play: Drill) -> None:
    await play.asks()
    await play.approve()
    play.backend.dovecot.mailboxes_empty = True
    await play.asks()
    (lapse,) = play.facts(fact.ApprovalLapsed)
    assert "messages" in lapse.reason
    asked = play.facts(fact.ApprovalAsked)[-1]
    assert not any("reads mail there" in line for line in asked.brief), asked.brief
    assert asked.alarms


@from_step("stop-dovecot")
async def test_a_metacache_that_was_not_seen_flushed_and_is_emptied_by_hand_was_not_flushed(play: Drill) -> None:
    play.before("StepStarted:stop-dovecot", lambda: setattr(play.backend, "metacache_flush", "disabled"))
    await play.reaches("remove-old-metacache-database")
    run = await play.held()
    assert "was not seen to be flushed" in run.reason
    for path, _ in [
        *play.backend.disk.tree("/var/lib/dovecot/metacache"),
        *play.backend.disk.tree("/var/dovecot/vmail"),
    ]:
        if path not in {"/var/lib/dovecot/metacache", "/var/dovecot/vmail"}:
            play.backend.disk.remove(path)
    await play.retry()
    await play.reaches("approve-restore")
    await play.asks()
    assert not play.run_now.metacache.flushed
    asked = play.facts(fact.ApprovalAsked)[-1]
    assert not any("was flushed" in line for line in (*asked.brief, *asked.alarms)), asked.brief


@from_step("install-packages")
async def test_a_hold_says_that_what_gives_users_again_is_set_back_meanwhile(play: Drill) -> None:
    """It said that nothing is changed, while the watch set the ring back."""
    play.fails("install-packages", times=9)
    await play.held()
    play.colleague_gives(up=None)
    await play.until(lambda _run: play.facts(fact.RingSetBack))
    assert "no step is begun until somebody decides" in play.thread(fact.StepFailed)[-1]
    assert "what gives it users again is set back" in play.thread(fact.StepFailed)[-1]


@from_step("mask-dovecot")
async def test_users_that_were_read_as_0_are_not_shown_as_mapped(play: Drill) -> None:
    (flushed,) = [one for one in play.facts(fact.StepDone) if one.step == "flush-users"]
    assert "users is 0" in flushed.reason or "users 0" in flushed.reason, flushed.reason
    assert "*Users mapped* 2" not in wording(root(play.run_now))


@from_step("approve-restore")
async def test_the_last_count_at_the_end_is_the_last_one(play: Drill) -> None:
    await play.asks()
    await play.take_over()
    await play.leave_out()
    await play.until(lambda run: run.status is Status.ENDED)
    assert play.ring.users_on("backend-3") == 0
    assert "first and last count* 2 (director-1: 2, director-2: 2) → 2" not in play.thread(fact.RunEnded)[-1]


@from_step("mask-dovecot")
async def test_what_was_certainly_not_run_is_not_shown_as_sent(play: Drill) -> None:
    play.before("hosts.run backend-3 systemctl mask", lambda: play.network.away("backend-3", timedelta(minutes=3)))
    await play.until(
        lambda _run: play.facts(fact.StepNotDone) or play.facts(fact.StepFailed) or play.facts(fact.StepUnclear)
    )
    assert play.sent("mask-dovecot") == []
    kinds = [kind for kind in (fact.StepNotDone, fact.StepFailed, fact.StepUnclear) if play.facts(kind)]
    said = play.thread(kinds[0])[-1]
    assert kinds[0] is not fact.StepUnclear, said
    assert "Sent, on" not in said, said


@from_step("stop-lmtp")
async def test_a_run_that_a_person_ended_by_hand_does_not_end_with_the_ring_as_it_was_before(play: Drill) -> None:
    """In one second the thread said that every director gives it users, and that it is still at vhost count 0."""
    play.fails("stop-lmtp")
    await play.held()
    await play.take_over()
    await asyncio.sleep(3 * 3600)
    play.colleague_gives()
    await play.until(lambda run: run.status is Status.ENDED)
    said = "".join(play.thread(fact.RunEnded))
    assert "every director gives the backend users again" in said
    assert "still at vhost count 0" not in said


@from_step("stop-lmtp")
async def test_what_was_checked_hours_ago_is_not_said_to_be_good_now(play: Drill) -> None:
    """A hold in the take-down, three hours, and then the way back."""
    play.fails("stop-lmtp")
    await play.held()
    (checked,) = [one.at for one in play.journal.facts[RUN] if "ring-is-still-whole" in str(one.fact)[:60]]
    await asyncio.sleep(3 * 3600)
    await play.go_back()
    await play.asks()
    (said,) = [message.text for _, message in play.messages(fact.TurnedBack) if "Checked and good" in message.text]
    assert said.startswith("Checked and good earlier")
    assert f"{checked:%H:%M}" in said
