"""Approvals: how long one counts, what it covers, and that it is asked for again where it is needed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.decisions.approval import approval_asked, still_good
from bot.core.decisions.goback import going_back
from bot.core.decisions.upnext import Ask, MakeChange, missing_gates, next_action
from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.fold import fold
from bot.core.runs.transitions import Status
from tests.build import REQUESTER, SECOND, THIRD, Story, plan
from tests.unit.core.test_decide import person
from tests.unit.messages import last

RETRY = fact.RetryChosen(by=REQUESTER)


def lapsed(at: str, gate: Gate = Gate.FLUSH) -> Story:
    """A run whose approval was judged and found to be no good, right before that step."""
    story = Story().until(at)
    while story.run.stage and story.run.stage_begun != story.run.stage.name:
        story.tell(*story.well())
    return story.tell(fact.ApprovalLapsed(gate=gate, reason="the approval has expired", at=at))


def test_an_approval_counts_as_long_from_its_click_as_its_question_was_open() -> None:
    """Clicked in the last minute, it would else be of no use; and it is never good for longer."""
    story = Story().until("approve-flush", on=Status.ASKING)
    asked = story.run.asked
    assert asked is not None
    assert isinstance(asked.fact, fact.ApprovalAsked)
    story.at += timedelta(minutes=59)
    story.tell(*story.well())
    grant = story.run.grant
    assert grant is not None
    assert (grant.given, grant.expires) == (story.at, story.at + (asked.fact.expires - asked.at))
    assert still_good(story.run, grant, person(SECOND), grant.expires - timedelta(seconds=1)) == ""
    assert "has expired" in still_good(story.run, grant, person(SECOND), grant.expires)


def test_an_approval_is_looked_up_again_only_where_it_depends_on_what_slack_does_not_say_now() -> None:
    """Whoever is known not to be an approver any more is none, whatever is not known of their other right."""
    story = Story().until("approve-flush", on=Status.ASKING)
    story.tell(*story.well())
    grant, nobody = story.run.grant, person(SECOND, may_ask=False, may_approve=False)
    assert grant is not None
    away = replace(nobody, approve_unknown="Slack is away", unsure=True, approve_unsure=True)
    assert "cannot be looked up" in still_good(story.run, grant, away, story.at)
    gone = replace(nobody, approve_unknown="the group is gone")
    assert "may not approve any more: the group is gone" in still_good(story.run, grant, gone, story.at)
    gone = replace(gone, ask_unknown="Slack is away", unsure=True)
    assert "may not approve any more: the group is gone" in still_good(story.run, grant, gone, story.at)
    other = replace(nobody, ask_unknown="Slack is away", unsure=True)
    assert "may not approve any more: not one of" in still_good(story.run, grant, other, story.at)
    assert still_good(story.run, grant, replace(other, may_approve=True), story.at) == ""


@pytest.mark.parametrize(
    ("step", "by"),
    [
        ("set-vhosts-to-zero", None),
        ("stop-lmtp", "approve-flush"),
        ("start-dovecot", "approve-flush"),
        ("set-vhosts-back", "approve-restore"),
        ("users-come-back", "approve-restore"),
    ],
)
def test_a_change_stands_behind_the_last_approval_before_it(step: str, by: str | None) -> None:
    run = Story().until(step).run
    assert (run.covering.name if run.covering else None) == by
    assert (run.grant.gate if run.grant else None) == (run.covering.gate if run.covering else None)


@pytest.mark.parametrize(
    "told",
    [
        [fact.StepFailed(step="stop-lmtp", reason="?"), RETRY],
        [fact.RunHeld(reason="?"), RETRY],
        [fact.UsersCameBack(back_to="upload-metacache", reason="?")],
    ],
)
def test_after_a_hold_it_is_judged_again_and_where_users_came_back(told: list[fact.Fact]) -> None:
    """Whoever gave it may have left, and what it showed may not be so any more."""
    story = Story(plan(move_first=True)).until("stop-lmtp")
    before = story.run.judged_since
    assert story.tell(*told).run.judged_since == story.run.seq > before


@pytest.mark.parametrize("at", ["stop-lmtp", "stop-dovecot", "install-packages", "start-dovecot"])
def test_one_that_lapsed_is_asked_for_again_at_the_step_at_hand(at: str) -> None:
    """Back at its gate, what was made and remembered since would be made and remembered again."""
    story = lapsed(at)
    assert next_action(story.run, story.at) == Ask(gate=Gate.FLUSH)
    assert Gate.FLUSH not in story.run.granted
    story.tell(*story.well())
    assert story.run.status is Status.ASKING
    story.tell(*story.well())
    assert isinstance(action := next_action(story.run, story.at), MakeChange)
    assert action.step.name == at
    assert (story.run.lapsed, story.run.granted) == (None, frozenset({Gate.FLUSH}))


def test_a_restart_does_not_forget_that_it_lapsed() -> None:
    story = lapsed("stop-dovecot")
    run = fold(story.entries)
    assert run is not None
    assert next_action(run, story.at) == Ask(gate=Gate.FLUSH)


def test_nobody_answers_it_and_a_retry_asks_for_it_again() -> None:
    story = lapsed("stop-dovecot").until("stop-dovecot", on=Status.ASKING)
    story.tell(fact.ApprovalExpired(step="stop-dovecot", gate=Gate.FLUSH), RETRY)
    assert next_action(story.run, story.at) == Ask(gate=Gate.FLUSH)


def test_denied_in_the_middle_of_the_take_down_the_run_turns_round() -> None:
    story = lapsed("stop-dovecot").until("stop-dovecot", on=Status.ASKING)
    story.tell(fact.Denied(step="stop-dovecot", gate=Gate.FLUSH, by=SECOND, message="1.1"))
    assert story.run.turning
    assert story.run.stands_safely


def test_what_is_approved_again_is_shown_with_the_change_at_hand() -> None:
    """It is the first thing that will run."""
    story = lapsed("stop-dovecot").until("stop-dovecot", on=Status.ASKING)
    assert [step.name for step in story.run.covered][:2] == ["stop-dovecot", "director-down"]
    assert "systemctl stop dovecot" in last(story).files[0].content
    gate = Story().until("approve-flush", on=Status.ASKING)
    assert gate.run.covered[0].name == "ring-is-still-whole"


@pytest.mark.parametrize("at", ["director-down", "flush-users"])
def test_once_users_wait_they_are_moved_on_the_word_that_was_given(at: str) -> None:
    """A question would keep them waiting for whoever sleeps."""
    story = lapsed(at)
    assert story.run.users_first
    assert isinstance(next_action(story.run, story.at), MakeChange)


def test_after_them_it_is_asked_for_again() -> None:
    story = lapsed("flush-users").until("mask-dovecot")
    assert next_action(story.run, story.at) == Ask(gate=Gate.FLUSH)


def test_users_who_wait_open_no_gate_that_nobody_ever_opened() -> None:
    story = lapsed("flush-users")
    assert isinstance(story.run.step, PlannedChange)
    assert missing_gates(story.run, story.run.step) == frozenset()
    never = replace(story.run, lapsed=None)
    assert never.users_first
    assert missing_gates(never, story.run.step) == {Gate.FLUSH}


def test_what_was_made_on_a_word_is_made_again_on_it_when_the_ring_forgets() -> None:
    """A director that restarts maps users to the stopped backend; they are not left there until somebody answers."""
    story = lapsed("unmask-dovecot")
    steps = {step.name: step for step in story.run.plan.changes}
    assert missing_gates(story.run, steps["flush-users"]) == frozenset()
    assert missing_gates(story.run, steps["set-vhosts-back"]) == {Gate.RESTORE}
    assert next_action(story.run, story.at) == Ask(gate=Gate.FLUSH)


def test_the_start_that_somebody_asked_for_first_waits_for_nobody_either() -> None:
    """Slack may be away by then, and users have been without their mail since the stop."""
    assert turned(start_first=True).until("undo-stop-dovecot").run.users_first
    asked = turned(start_first=False).until("undo-stop-dovecot")
    assert not asked.run.users_first, "there, a second engineer was asked"


def turned(*, start_first: bool) -> Story:
    """A run that turned round while users waited."""
    story = Story().until("director-down").fail("no other backend")
    story.tell(fact.GoBackAsked(by=THIRD, reason="they wait", start_first=start_first))
    back = going_back(story.run)
    assert back is not None
    return story.tell(fact.TurnedBack(plan=back))


def test_what_was_verified_is_what_was_read_when_the_restore_was_last_asked_for() -> None:
    """Users are given to nothing else; a lapse asks again, with what is there now."""
    story = lapsed("set-vhosts-back", Gate.RESTORE)
    assert dict(story.run.verified) | {"configuration": "d" * 64, "packages": "dovecot-core=1"} == story.run.verified
    assert next_action(story.run, story.at) == Ask(gate=Gate.RESTORE)
    now = {"configuration": "e" * 64, "packages": "dovecot-core=2"}
    story.tell(approval_asked(story.run, Gate.RESTORE, story.at, (), now)).tell(*story.well())
    assert dict(story.run.verified) | now == story.run.verified
