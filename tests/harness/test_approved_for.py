"""What an approval was given for, and what nobody has approved."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.adapters.slack.messages.root import root
from bot.core.plans.procedure import Check, Expectation, Gate, Step
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue
from tests.harness.branches import from_step
from tests.harness.drill import LONG, Drill, a_run, virtually
from tests.harness.hooks import wording
from tests.harness.play import now
from tests.harness.test_approval import lapses_and_is_stopped_by_hand
from tests.harness.test_where_rules_meet import ring_forgets


def asks_for(run: Run, gate: Gate) -> bool:
    asked = run.asked.fact if run.asked else None
    return run.status is Status.ASKING and isinstance(asked, fact.ApprovalAsked) and asked.gate is gate


async def a_lapsed_change_is_skipped(play: Drill, *, started: bool) -> None:
    """The flush approval has lapsed at the start of dovecot, which is done by hand (`started`), or not, and skipped."""
    await play.reaches("start-dovecot")
    play.fails("start-dovecot")
    await play.held()
    await play.retry(after=LONG)
    await play.asks()
    await play.put_off()
    await play.held()
    if started:
        play.backend.dovecot_unit.start()
    await play.skip()


@from_step("start-dovecot")
async def test_a_restore_question_that_is_put_for_the_first_time_is_not_said_to_be_asked_again(play: Drill) -> None:
    await a_lapsed_change_is_skipped(play, started=True)
    await play.until(lambda run: asks_for(run, Gate.RESTORE))
    (_, message), *_ = reversed(play.messages(fact.ApprovalAsked))
    assert "Asked again" not in wording(message)
    assert "has lapsed" not in wording(message)


@from_step("start-dovecot")
async def test_a_restore_is_not_put_to_people_with_mail_that_cannot_be_read_because_a_flush_had_lapsed(
    play: Drill,
) -> None:
    """Without that lapse it holds."""
    await a_lapsed_change_is_skipped(play, started=True)
    await play.until(lambda run: run.step is not None and run.step.name == "approve-restore")
    play.backend.dovecot.mailboxes_empty = True
    run = await play.until(lambda run: run.status in {Status.ASKING, Status.HELD})
    assert run.status is Status.HELD, play.facts(fact.ApprovalAsked)[-1].alarms


@from_step("drain")
async def test_a_backend_approved_with_nobody_mapped_is_not_stopped_with_users_whom_a_colleague_sent_there(
    play: Drill,
) -> None:
    """Between the reading and the click somebody gave it vhosts, and the watch took them; who came meanwhile stays."""
    play.nobody_logs_in()
    play.ring.state.flush(play.backend.ip, now=now())
    await play.reaches("approve-flush")
    await play.asks()
    assert "no user is mapped to backend-3 (order runbook)" in play.facts(fact.ApprovalAsked)[-1].brief
    play._new_users = True
    play.colleague_gives()
    await play.until(lambda _run: any(one.holds for one in play.facts(fact.RingSetBack)))
    await play.approve()
    stands = {Status.ASKING, Status.HELD}
    await play.until(lambda run: run.status in stands or play.sent("stop-dovecot"))
    mapped = [one for one in play.ring.state.mapped.values() if one.backend == play.backend.ip]
    assert mapped, "so this is not what was approved"
    assert not play.sent("stop-dovecot")


@from_step("approve-restore")
async def test_a_backend_that_served_for_ten_minutes_meanwhile_was_not_without_new_users_since_before_that(
    play: Drill,
) -> None:
    """A colleague gave it users while no other could take them; the others came back, and the watch set it back."""
    await play.asks()
    taken = play.run_now.ring.out_since
    assert taken is not None
    play.others_out()
    play.colleague_gives()
    await play.until(lambda run: run.status is Status.HELD)
    await asyncio.sleep(600)
    assert play.ring.state.usable(play.backend.ip), "so everybody is there"
    play.others_back()
    back = timedelta(minutes=20)
    await play.until(lambda _run: any(one.holds for one in play.facts(fact.RingSetBack)), within=back)
    await play.retry()
    await play.until(lambda run: run.status is Status.ASKING)
    asked = play.facts(fact.ApprovalAsked)[-1]
    await play.put_off()
    await play.held()
    since = f"since {taken:%H:%M:%S} UTC"
    said = [*asked.brief, play.thread(fact.Postponed)[-1], wording(root(play.run_now))]
    false = [line for one in said for line in one.splitlines() if since in line]
    assert not false, false


@pytest.mark.parametrize("by_hand", [False, True])
@from_step("drain")
async def test_nor_where_lmtp_was_stopped_by_hand_before(play: Drill, by_hand: bool) -> None:
    """That this run found it stopped does not mean that anybody approved to cut users off."""
    await nobody_is_mapped(play)
    await play.asks()
    if by_hand:
        play.backend.dovecot.stopped_services.add("lmtp")
    await play.approve()
    users_come_as_the_take_down_begins(play)
    await asyncio.sleep(100)
    assert "no user is mapped to backend-3 (order runbook)" in play.facts(fact.ApprovalAsked)[0].brief
    assert play.sent("stop-dovecot") == []


@from_step("drain")
async def test_where_nobody_had_counted_users_no_lapse_says_that_there_were_none(play: Drill) -> None:
    await nobody_is_mapped(play)
    await asyncio.sleep(35)
    play.others_out("backend-1")
    await play.held()
    await play.skip()
    await play.asks()
    play.others_back("backend-1")
    await play.approve()
    users_come_as_the_take_down_begins(play)
    await asyncio.sleep(100)
    assert "were not counted for this question" in play.thread(fact.ApprovalAsked)[0]
    assert not any("none when it was asked for" in one.reason for one in play.facts(fact.ApprovalLapsed))


async def nobody_is_mapped(play: Drill) -> None:
    await play.reaches("drain")
    play.nobody_logs_in()
    play.ring.state.mapped.clear()


def users_come_as_the_take_down_begins(play: Drill) -> None:
    def come() -> None:
        for number in range(5):
            play.ring.state.move(f"late{number}", play.backend.ip, play.ring.now())

    play.before("journal.append StageBegan:take-down", come)


@pytest.mark.parametrize("lapsed", [False, True])
@virtually
async def test_users_of_a_dead_dovecot_are_moved_also_where_the_flush_approval_had_lapsed(lapsed: bool) -> None:
    """It was forgotten once the restore was approved, and nobody moved those whom a ring that forgets sent there."""
    async with a_run() as play:
        if lapsed:
            await a_lapsed_change_is_skipped(play, started=True)
            await play.until(lambda run: asks_for(run, Gate.RESTORE))
        else:
            await play.reaches("approve-restore")
            await play.asks()
        play.dovecot_dies()
        await play.approve()
        await play.held()
        ring_forgets(play)
        await asyncio.sleep(300)
        assert play.ring.users_on("backend-3") == 0


# users who wait come first, also where an approval has lapsed


async def under_way_to_users(play: Drill) -> None:
    """The flush approval lapsed at a stop that somebody made by hand; *Retry*, and `director down` is under way."""
    await lapses_and_is_stopped_by_hand(play)
    await play.until(lambda run: run.status is Status.HELD)
    await play.retry()


@virtually
async def test_users_are_moved_before_it_turns_round_also_where_an_approval_has_lapsed() -> None:
    """Seen: it turned before the flush, and users of a stopped dovecot waited for the approval to go back."""
    async with a_run() as play:
        play.before(f"doveadm director down {play.backend.ip}", play.go_back)
        await under_way_to_users(play)
        await play.until(lambda run: run.turning)
        await asyncio.sleep(60)
        assert play.ring.users_on("backend-3") == 0


@virtually
async def test_a_bot_that_is_told_to_end_moves_users_first_also_where_an_approval_has_lapsed() -> None:
    async with a_run() as play:

        def told_to_end() -> None:
            assert play.service is not None
            for one in play.service._live.values():
                one.runner.leave()

        play.before(f"doveadm director down {play.backend.ip}", told_to_end)
        await under_way_to_users(play)
        await asyncio.sleep(60)
        assert "director-down" in play.run_now.seen_done
        assert play.ring.users_on("backend-3") == 0


def director_2_goes(play: Drill) -> None:
    play.ring.state.set_away("director-2", play.ring.now(), away=True)
    play.network.away("director-2", timedelta(days=30))


@pytest.mark.parametrize("after", ["a restart", "a retry"])
@pytest.mark.parametrize("step", ["install-packages", "start-dovecot"])
@from_step()
async def test_a_director_that_is_gone_keeps_no_stopped_dovecot_from_being_started_once_users_are_moved(
    play: Drill, step: str, after: str
) -> None:
    """Nothing left concerns directors, yet the approval lapsed at the count of users, and could not be asked for."""
    if after == "a retry":
        play.fails(step)
        await play.held()
    director_2_goes(play)
    await (play.restart_bot() if after == "a restart" else play.retry())
    run = await play.reaches("approve-restore")
    assert "start-dovecot" in run.seen_done
    assert play.facts(fact.ApprovalLapsed) == []


@from_step("start-dovecot")
async def test_an_approval_is_asked_for_again_without_a_director_where_nothing_left_concerns_it(play: Drill) -> None:
    """What it does not say is an alarm."""
    play.fails("start-dovecot")
    await play.held()
    director_2_goes(play)
    await play.retry(after=LONG)
    await play.asks()
    assert "cannot be read now: director-2: no SSH connection" in play.facts(fact.ApprovalAsked)[-1].alarms
    await play.reaches("approve-restore")


def mail_folder_is_looked_at(catalogue: Catalogue) -> Catalogue:
    """A site counts users, and in the same check sees that the backend's mail folder is there."""
    folder = Expectation.model_validate({"probe": "files", "path": "/var/dovecot/vmail", "exists": True})

    def looks(step: Step) -> Step:
        if not isinstance(step, Check) or step.step != "count-mapped-users":
            return step
        return step.model_copy(update={"expect": (*step.expect, folder)})

    (procedure,) = catalogue.procedures
    stages = [stage.model_copy(update={"steps": tuple(map(looks, stage.steps))}) for stage in procedure.stages]
    return replace(catalogue, procedures=(procedure.model_copy(update={"stages": tuple(stages)}),))


@virtually
async def test_what_a_check_of_directors_shows_of_the_backend_is_still_judged_once_users_are_moved() -> None:
    """Directors have nothing to do with what is left; the backend has."""
    async with a_run(mail_folder_is_looked_at) as play:
        await play.reaches("mask-dovecot")
        play.fails("mask-dovecot")
        await play.held()
        play.backend.disk.remove("/var/dovecot/vmail")
        director_2_goes(play)
        await play.retry()
        await play.until(lambda run: run.status in {Status.ASKING, Status.HELD} or "install-packages" in run.seen_done)
        assert play.sent("install-packages") == []
        lapsed = play.facts(fact.ApprovalLapsed)[-1]
        assert "/var/dovecot/vmail" in lapsed.reason
        assert "director-2" not in lapsed.reason
