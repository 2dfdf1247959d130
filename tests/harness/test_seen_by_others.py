"""Sentences that were false once for whoever reads them later: by phone, in the record, or behind an old button."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bot.adapters.slack.messages.root import root
from bot.core.decisions.damage import damage_in_words, examined
from bot.core.decisions.decide import Approve
from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.errors import NotRun, Refused
from bot.record.markdown import markdown
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.harness.branches import from_step
from tests.harness.drill import LONG, Drill, a_run, virtually
from tests.harness.hooks import wording
from tests.harness.play import RUN, now
from tests.harness.test_approved_for import a_lapsed_change_is_skipped
from tests.unit.messages import buttons
from tests.unit.stories import command


def record(play: Drill) -> str:
    """The change record of its run."""
    return markdown(tuple(play.journal.facts[RUN]))


async def at_the_restore_question(play: Drill) -> int:
    """By which fact it is put."""
    await play.reaches("approve-restore")
    run = await play.asks()
    assert run.asked is not None
    return run.asked.seq


async def approves_an_old_question(play: Drill, ask: int, by: str) -> str:
    """What whoever clicks on a question that is closed is told."""
    with pytest.raises(Refused) as said:
        await play.say(Approve(person=play.people[by], ask=ask, message="1.1"))
    return str(said.value)


def dialog_of_retry(play: Drill, kind: type[fact.Fact]) -> str:
    """What is asked after a click on *Retry*, in the last message of such a fact."""
    (_, message), *_ = reversed(play.messages(kind))
    dialog: Any = buttons(message)["retry"]["confirm"]
    return str(dialog["text"]["text"])


@from_step("clean-metacache")
async def test_a_metacache_that_was_never_emptied_is_not_said_to_be_empty(play: Drill) -> None:
    """The old database was removed, emptying the directory failed, and the run went back."""
    play.fails("clean-metacache")
    await play.held()
    await play.go_back()
    await play.asks()
    await play.approve()
    await play.reaches("approve-restore")
    await play.asks()
    root_of = "/var/dovecot/vmail"
    assert [path for path, _ in play.backend.disk.tree(root_of) if path != root_of], "it is full"
    asked = play.facts(fact.ApprovalAsked)[-1]
    assert not any("is empty" in line for line in (*asked.brief, *asked.alarms))
    assert any("metacache was flushed, and was emptied in part" in line for line in asked.alarms)


def test_the_record_of_a_run_that_went_on_does_not_say_of_what_was_never_sent_that_its_end_was_not_heard() -> None:
    """Which command was the one at hand is known from the run as it was then."""
    story = Story().until("stop-dovecot", on=Status.BUSY)
    assert isinstance(story.run.step, PlannedChange)
    text = story.run.step.action.command.text
    never = replace(command("the connection is gone, and nothing was run", changes=False, status=None), command=text)
    story.tell(fact.StepNotDone(step="stop-dovecot", reason="nothing was run", ran=(never,)))
    assert f"- not sent: `{text}`" in markdown(story.entries), "while that step is at hand"
    story.until(None, on=Status.ENDED)
    assert f"`{text}`: end not heard" not in markdown(story.entries)


@from_step("stop-dovecot")
async def test_nor_does_the_record_of_a_whole_run_whose_connection_was_gone_before_the_stop(play: Drill) -> None:

    def gone() -> None:
        raise NotRun("backend-3: the connection is gone; nothing was run")

    play.before("hosts.run backend-3 systemctl stop dovecot", gone)
    assert await play.ends() == "done"
    assert "`systemctl stop dovecot`: end not heard" not in record(play)


@from_step("ring-is-still-whole")
async def test_an_approval_that_nobody_was_asked_for_again_is_not_in_the_record_as_asked_for_again(play: Drill) -> None:
    """It lapsed, and somebody took over in that second."""
    play.backend.disk.write("/etc/dovecot/conf.d/99-hotfix.conf", b"x = 5\n")
    await play.until(lambda _run: play.facts(fact.ApprovalLapsed))
    await play.take_over()
    await play.leave_out()
    await play.until(lambda run: run.status is Status.ENDED)
    assert len(play.facts(fact.ApprovalAsked)) == 1
    assert "is asked for again" not in record(play)


@from_step("start-dovecot")
async def test_retry_at_a_check_is_not_said_to_ask_the_approvers(play: Drill) -> None:
    """It looks again, and no more, although the approval has lapsed."""
    await a_lapsed_change_is_skipped(play, started=False)
    await play.held()
    said, asked = play.thread(fact.StepFailed)[-1], len(play.facts(fact.ApprovalAsked))
    await play.retry()
    await play.until(lambda run: run.status is Status.READY)
    await play.until(lambda run: run.status is Status.HELD)
    assert len(play.facts(fact.ApprovalAsked)) == asked, "nobody was asked"
    assert "ask the approvers again" not in said
    assert dialog_of_retry(play, fact.StepFailed).startswith("Look again: ")


@from_step("approve-flush")
async def test_whoever_clicks_on_an_approval_that_has_lapsed_since_is_not_told_that_it_is_given(play: Drill) -> None:
    run = await play.asks()
    assert run.asked is not None
    await play.reaches("ring-is-still-whole")
    play.backend.disk.write("/etc/dovecot/conf.d/99-hotfix.conf", b"x = 5\n")
    await play.asks()
    await play.put_off()
    assert Gate.FLUSH not in (await play.held()).granted
    said = await approves_an_old_question(play, run.asked.seq, THIRD)
    assert "gave the flush approval" in said
    assert "which has lapsed since" in said


@from_step("approve-restore")
async def test_an_approval_that_counts_no_more_as_the_run_turned_round_is_not_said_to_have_lapsed(play: Drill) -> None:
    ask = await at_the_restore_question(play)
    await play.approve()
    play.dovecot_dies()
    await play.held()
    await play.go_back()
    await play.until(lambda run: run.plan.back)
    said = await approves_an_old_question(play, ask, THIRD)
    assert "gave the restore approval" in said
    assert "counts no more: the run has turned round since" in said


@from_step("approve-flush")
async def test_a_question_is_not_said_to_be_asked_anew_once_the_run_goes_back(play: Drill) -> None:
    run = await play.asks()
    assert run.asked is not None
    await play.wait_longer()
    await play.until(lambda run: run.status is Status.WAITING)
    await play.go_back()
    await play.until(lambda run: run.plan.back)
    assert "is asked anew" not in await approves_an_old_question(play, run.asked.seq, SECOND)


@from_step("approve-restore")
async def test_a_run_that_goes_on_again_is_not_said_to_be_held(play: Drill) -> None:
    ask = await at_the_restore_question(play)
    play.others_out()
    play.colleague_gives()
    await play.until(lambda run: run.status is Status.HELD)
    play.others_back()
    await asyncio.sleep(600)
    await play.retry()
    await play.until(lambda run: run.status is Status.ASKING)
    assert "an older question: the run held, " in await approves_an_old_question(play, ask, SECOND)


@virtually
async def test_a_run_that_has_undone_all_is_not_said_to_have_changed_nothing() -> None:
    """It took the vhosts away and gave them back; then a director says otherwise."""
    async with a_run(text="backend-3 restart=yes") as play:
        await play.reaches("drain")
        await play.until(lambda run: run.status is Status.WAITING)
        await play.go_back(by=REQUESTER)
        await play.until(lambda run: run.plan.back)
        await play.reaches("users-come-back")
        play.colleague_gives(vhosts=0)
        await play.held()
        assert "All that was seen to be changed is undone." in play.thread(fact.StepFailed)[-1]


@from_step("approve-restore")
async def test_a_backend_that_was_left_out_unseen_is_not_said_to_be_without_new_users_for_ever(play: Drill) -> None:
    """It was given users by hand; a director is away, so that somebody ends the run; its first message stays so."""
    await at_the_restore_question(play)
    play.ring.state.set_away("director-2", now(), away=True)
    await play.take_over()
    play.colleague_gives()
    await asyncio.sleep(600)
    await play.leave_out()
    await play.until(lambda run: run.status is Status.ENDED)
    assert play.ring.state.usable(play.backend.ip)
    assert "without new users" not in wording(root(play.run_now))


@from_step("install-packages")
async def test_a_hold_does_not_promise_to_set_back_what_the_watch_would_leave(play: Drill) -> None:
    """No other backend can be used, and everybody was told so."""
    play.fails("install-packages")
    play.others_out()
    await play.held()
    await play.until(lambda run: run.ring.others_low, within=timedelta(minutes=5))
    await play.retry()
    await at_the_restore_question(play)
    await play.put_off()
    await play.held()
    said = play.thread(fact.Postponed)[-1]
    play.colleague_gives()
    await play.until(lambda _run: play.facts(fact.RingDeviated), within=timedelta(minutes=5))
    assert play.facts(fact.RingDeviated)[-1].helpless
    assert "what gives it users again is set back" not in said


@from_step("director-down")
async def test_users_are_not_said_to_wait_for_a_dovecot_that_a_colleague_has_started(play: Drill) -> None:
    play.fails("director-down")
    await play.held()
    play.backend.dovecot_unit.start()
    await asyncio.sleep(300)
    await play.go_back()
    await play.asks()
    said = "users may wait: dovecot was last seen stopped, and was not looked at for this question"
    assert said in play.facts(fact.ApprovalAsked)[-1].alarms


@from_step("install-packages")
async def test_whoever_asked_to_go_back_is_told_that_this_is_why_it_does_not_count(play: Drill) -> None:
    """Also where that is the run's requester, who may approve a way back that somebody else asked for."""
    play.fails("install-packages")
    await play.held()
    await play.go_back(by=REQUESTER)
    await play.asks()
    with pytest.raises(Refused):
        await play.approve_as(REQUESTER)
    assert "whoever asked to go back cannot approve it" in play.thread(fact.ApprovalRefused)[-1]


@from_step("approve-restore")
async def test_the_dialog_of_a_retry_that_asks_the_approvers_does_not_ask_to_give_users(play: Drill) -> None:
    """“Try this step again: Put backend-3 back at vhost count 100?”, where all it does is ask."""
    await at_the_restore_question(play)
    await play.put_off()
    await play.held()
    assert dialog_of_retry(play, fact.Postponed).startswith("Ask the approvers again?")


@from_step("stop-lmtp")
async def test_the_dialog_of_a_retry_does_not_say_that_it_sends_what_needs_a_new_approval_by_then(play: Drill) -> None:
    """It is still shown when the approval has expired."""
    play.fails("stop-lmtp")
    await play.held()
    dialog = dialog_of_retry(play, fact.StepFailed)
    await play.retry(after=LONG)
    await play.asks()
    assert play.sent("stop-lmtp") == []
    assert "and sends, unless its approval has lapsed by then: doveadm service stop lmtp" in dialog


@from_step("approve-restore")
async def test_whoever_releases_a_damaged_run_is_not_told_of_vhosts_0_where_users_were_last_seen_given(
    play: Drill,
) -> None:
    await at_the_restore_question(play)
    play.others_out()
    play.colleague_gives()
    await play.until(lambda run: run.status is Status.HELD)
    assert play.run_now.ring.given_users
    found = examined(RUN, tuple(play.journal.facts[RUN]), "fact 99: its chain is broken", rings=("practice",))
    assert found is not None
    said = damage_in_words(found)
    assert "so no new users" not in said
    assert "it had vhosts 0, and was last seen to be given users again" in said
