"""Sentences that were false once where hosts die, directors give users, people turn round or the bot is killed."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from bot.adapters.slack.messages.root import root
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.practice.ring.packages import NAMES, NEW
from tests.build import REQUESTER, SECOND
from tests.harness.branches import from_step
from tests.harness.drill import LONG, Drill, a_run, virtually
from tests.harness.hooks import wording
from tests.harness.play import now
from tests.unit.messages import buttons

_STANDS = {Status.HELD, Status.ASKING, Status.ENDED}


def asks_for(run: Run, gate: Gate) -> bool:
    """Whether this gate is put to people now."""
    asked = run.asked.fact if run.asked else None
    return run.status is Status.ASKING and isinstance(asked, fact.ApprovalAsked) and asked.gate is gate


async def goes_back(play: Drill, by: str) -> None:
    """From the restore approval, asked for by an approver; the question that is put then."""
    await play.reaches("approve-restore")
    await play.asks()
    await play.go_back(by=by)
    await play.until(lambda run: run.plan.back)
    await play.asks()


async def asks_for_the_restore(play: Drill) -> fact.ApprovalAsked:
    """All else is approved, and tried again where it holds."""
    while not asks_for(await play.until(lambda run: run.status in _STANDS), Gate.RESTORE):
        await (play.retry() if play.run_now.status is Status.HELD else play.approve())
    return play.facts(fact.ApprovalAsked)[-1]


async def called(play: Drill) -> str:
    """What everybody is told when no other backend can be used."""
    play.others_out()
    await play.until(lambda _run: play.facts(fact.OthersCounted), within=timedelta(minutes=5))
    return play.thread(fact.OthersCounted)[-1]


@from_step("approve-restore")
async def test_on_the_way_back_question_and_approval_name_who_asked_for_that(play: Drill) -> None:
    """The run's requester may approve it; "asked by" the same person would read as a breach of four eyes."""
    await goes_back(play, by=SECOND)
    (_, question), *_ = reversed(play.messages(fact.ApprovalAsked))
    assert f"Going back asked for by <@{SECOND}>" in wording(question)
    await play.approve_as(REQUESTER)
    said = play.thread(fact.Approved)[-1]
    assert f"by <@{REQUESTER}> (going back asked for by <@{SECOND}>, the run by <@{REQUESTER}>)" in said


@from_step("approve-restore")
async def test_a_restore_question_does_not_say_without_new_users_while_directors_give_them(play: Drill) -> None:
    await play.asks()
    play.others_out()
    play.colleague_gives()
    await play.until(lambda run: run.status is Status.HELD)
    await play.retry()
    await play.asks()
    assert play.ring.state.usable(play.backend.ip)
    asked = play.facts(fact.ApprovalAsked)[-1]
    assert not any("without new users" in line for line in asked.brief)
    assert "directors were last seen to give it users already" in asked.alarms


@from_step("stop-dovecot")
async def test_a_retry_that_sends_at_once_as_users_wait_is_not_said_to_ask_the_approvers(play: Drill) -> None:
    """The approval has lapsed; what moves users who wait is not kept for a new one."""
    play.fails("stop-dovecot")
    await play.held()
    await play.retry(after=LONG)
    await play.asks()
    await play.put_off()
    await play.held()
    await play.backend.dovecot_unit.stop()
    await play.retry()
    await play.reaches("director-down")
    play.fails("director-down")
    await play.held()
    said, asked = play.thread(fact.StepFailed)[-1], len(play.facts(fact.ApprovalAsked))
    await play.retry()
    await play.reaches("flush-users")
    assert len(play.facts(fact.ApprovalAsked)) == asked
    assert "ask the approvers again" not in said


@from_step("ring-is-still-whole")
async def test_a_flush_question_asked_again_before_any_stop_says_what_users_will_feel(play: Drill) -> None:
    """Whoever sees this one alone would else stop a backend full of users unawares."""
    play.backend.disk.write("/etc/dovecot/conf.d/99-hotfix.conf", b"x = 5\n")
    await play.asks()
    assert play.sent("stop-lmtp") == []
    again = play.facts(fact.ApprovalAsked)[-1]
    assert any("users mapped to it" in line for line in again.alarms)


@virtually
async def test_a_metacache_flushed_and_emptied_before_a_boot_is_not_said_to_be_lost() -> None:
    """The deletions are found done afterwards."""
    async with a_run() as play:
        play.backend.dovecot_unit.file_state = "disabled"
        await play.reaches("unmask-dovecot")
        play.reboots_now()
        await play.until(lambda run: "was booted" in run.reason, within=timedelta(minutes=3))
        await play.retry()
        asked = await asks_for_the_restore(play)
        assert play.ring.losses == []
        assert not any("is lost" in line for line in asked.alarms)


@from_step("stop-dovecot")
async def test_the_restore_on_the_way_back_says_that_the_metacache_was_lost(play: Drill) -> None:
    """It was not flushed at the stop, somebody emptied it all the same, and the run is turned round later."""
    play.before("StepStarted:stop-dovecot", lambda: setattr(play.backend, "metacache_flush", "disabled"))
    await play.reaches("remove-old-metacache-database")
    await play.held()
    for root_of in ("/var/lib/dovecot/metacache", "/var/dovecot/vmail"):
        for path, _ in [*play.backend.disk.tree(root_of)]:
            if path != root_of:
                play.backend.disk.remove(path)
    await play.retry()
    await play.reaches("approve-restore")
    await play.asks()
    await play.go_back()
    await play.until(lambda run: run.plan.back)
    asked = await asks_for_the_restore(play)
    assert any("what it alone held is lost" in line for line in asked.alarms)


@from_step("stop-lmtp")
async def test_a_command_that_a_killed_bot_never_sent_is_not_said_to_be_sent(play: Drill) -> None:
    play.before("hosts.run backend-3 doveadm service stop lmtp", play.stop_bot)
    await play.until(lambda run: run.status is Status.BUSY)
    await asyncio.sleep(5)
    assert play.sent("stop-lmtp") == []
    await play.start_bot()
    await play.until(lambda _run: play.facts(fact.StepUnclear))
    said = play.thread(fact.StepUnclear)[-1]
    assert "The bot was stopped as it sent the command, or before" in said
    assert "It may have been sent to backend-3" in said


@from_step("install-packages")
async def test_after_a_boot_a_service_that_runs_again_with_dovecot_is_not_among_what_is_changed(play: Drill) -> None:
    play.fails("install-packages")
    await play.held()
    play.reboots_now()
    await play.until(lambda run: "was booted, and" in run.reason, within=timedelta(minutes=2))
    assert not play.backend.dovecot.stopped_services
    said = next(text for text in play.thread(fact.RunHeld) if "Changed so far" in text)
    assert "Stop LMTP on backend-3" not in said.split("Changed so far")[1].split("Begun")[0]


@from_step("install-packages")
async def test_after_a_boot_on_the_way_back_dovecot_is_not_said_to_be_masked(play: Drill) -> None:
    """The mask is gone with the boot."""
    play.fails("install-packages")
    await play.held()
    await play.go_back()
    await play.asks()
    play.reboots_now()
    await play.until(lambda _run: play.facts(fact.BackendRebooted), within=timedelta(minutes=3))
    await play.take_over()
    assert "where `systemctl is-enabled dovecot` still says so" in play.thread(fact.TakenOver)[-1]


@from_step("approve-restore")
async def test_a_backend_taken_over_and_given_users_is_not_said_to_be_out_while_a_director_is_away(play: Drill) -> None:
    """The bot follows it no more, and lets go of it only when every director says so."""
    await play.asks()
    play.ring.state.set_away("director-2", now(), away=True)
    await play.take_over()
    play.colleague_gives()
    await asyncio.sleep(600)
    assert play.run_now.status is Status.TAKEN
    assert "without new users" not in wording(root(play.run_now))


@pytest.mark.parametrize(("step", "false"), [("drain", "still serves"), ("approve-restore", "it gets users at once")])
@from_step()
async def test_a_backend_whose_dovecot_has_died_unseen_is_not_said_to_be_ready(play: Drill, false: str) -> None:
    await play.until(lambda run: run.status in {Status.WAITING, Status.ASKING})
    play.dovecot_dies()
    assert false not in await called(play)


@from_step("approve-flush")
async def test_nothing_has_to_come_first_where_a_held_run_can_go_back_at_once(play: Drill) -> None:
    await play.asks()
    await play.put_off()
    await play.held()
    assert "that comes first" not in await called(play)


@from_step("install-packages")
async def test_on_a_way_back_that_holds_nobody_is_told_to_go_back(play: Drill) -> None:
    play.fails("install-packages")
    await play.held()
    await play.go_back()
    await play.asks()
    await play.put_off()
    await play.held()
    said = await called(play)
    assert "going back starts it again" not in said
    assert "The run holds at" in said


@from_step("director-down")
async def test_a_go_back_question_after_dovecot_was_started_first_names_only_what_is_left(play: Drill) -> None:
    play.fails("director-down")
    await play.held()
    await play.go_back(start_first=True)
    await play.asks()
    asked = play.facts(fact.ApprovalAsked)[-1]
    assert not any("Stop dovecot" in line for line in asked.brief)


@from_step("install-packages")
async def test_a_stage_that_is_begun_again_announces_what_is_left_of_it(play: Drill) -> None:
    """A boot has lost the mask alone."""
    play.fails("install-packages")
    await play.held()
    play.backend.dovecot_unit.file_state = "disabled"
    play.reboots_now()
    await play.until(lambda run: "was booted, and" in run.reason, within=timedelta(minutes=2))
    await play.retry()
    await play.reaches("stop-was-clean")
    assert "1 change" in play.thread(fact.StageBegan)[-1]


@from_step("drain")
async def test_the_dialog_does_not_install_what_the_question_says_is_installed(play: Drill) -> None:
    play.backend.packages.installed |= dict.fromkeys(NAMES, NEW)
    await play.reaches("approve-flush")
    await play.asks()
    (_, message), *_ = play.messages(fact.ApprovalAsked)
    assert any("already" in line for line in play.facts(fact.ApprovalAsked)[-1].brief)
    assert "installs" not in str(buttons(message)["approve"])
