"""Whoever takes a run over by hand has the backend alone, until they say what becomes of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.decisions.decide import (
    Approve,
    GoBack,
    LeaveOut,
    Retry,
    TakeOver,
    decide,
)
from bot.core.decisions.goback import going_back
from bot.core.decisions.upnext import Sleep, next_action
from bot.core.runs import events as fact
from bot.core.runs.ring_state import RingState
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import NOON, SECOND, THIRD, Story
from tests.unit.core.test_decide import asking, person

REACHED = {
    Status.WAITING: ("drain", Status.WAITING),
    Status.ASKING: ("approve-flush", Status.ASKING),
    Status.BUSY: ("stop-lmtp", Status.BUSY),
}


@pytest.mark.parametrize("status", [Status.WAITING, Status.ASKING, Status.HELD])
def test_somebody_takes_over_wherever_the_run_waits_and_it_does_nothing_more(status: Status) -> None:
    story = Story().until("stop-lmtp").fail() if status is Status.HELD else Story().until(REACHED[status][0], on=status)
    story.tell(*decide(story.run, TakeOver(person=person(THIRD), reason=" I know better "), story.at))
    assert (story.run.status, story.run.taken_by, story.run.reason) == (Status.TAKEN, THIRD, "I know better")
    assert next_action(story.run, story.at + timedelta(days=9)) == Sleep(until=None)


@pytest.mark.parametrize(("step", "on"), [REACHED[Status.BUSY], ("stop-dovecot", Status.READY)])
def test_nobody_takes_over_in_the_middle_of_a_change_or_of_the_take_down(step: str, on: Status) -> None:
    """Two would be at it, and the fence of the one does not hold the other; users wait for the take-down's end."""
    with pytest.raises(Refused, match="working at this moment"):
        decide(Story().until(step, on=on).run, TakeOver(person=person(THIRD), reason="x"), Story().at)


def test_taking_over_needs_a_reason_and_somebody_who_may() -> None:
    run = asking().run
    with pytest.raises(Refused, match="reason"):
        decide(run, TakeOver(person=person(THIRD), reason="  "), Story().at)
    with pytest.raises(Refused, match="neither"):
        decide(run, TakeOver(person=person(THIRD, may_approve=False, may_ask=False), reason="x"), Story().at)


def taken() -> Story:
    return asking().tell(fact.TakenOver(by=THIRD, reason="by hand"))


def test_an_answer_to_a_hold_that_is_over_takes_nothing_over() -> None:
    """A form is filled in while a colleague's Retry goes on; with no hold to answer, anybody takes over at any time."""
    story = Story().until("stop-lmtp").fail()
    answers = TakeOver(person=person(THIRD), reason="nobody does anything", answers=story.run.held)
    assert decide(story.run, answers, story.at)
    story.tell(fact.RetryChosen(by=SECOND)).fail()
    with pytest.raises(Refused, match="older question"):
        decide(story.run, answers, story.at)
    story.tell(fact.RetryChosen(by=SECOND)).until("approve-restore", on=Status.ASKING)
    with pytest.raises(Refused, match="does not hold"):
        decide(story.run, answers, story.at)
    assert decide(story.run, TakeOver(person=person(THIRD), reason="I know better"), story.at)


def test_a_run_that_was_taken_over_takes_no_command_but_its_end() -> None:
    story = taken()
    for command in (
        Approve(person=person(SECOND), ask=1, message="1.1"),
        Retry(person=person(SECOND), held=1),
        GoBack(person=person(SECOND), reason="x"),
        TakeOver(person=person(SECOND), reason="x"),
    ):
        with pytest.raises(Refused, match=THIRD):
            decide(story.run, command, story.at)
    story.tell(*decide(story.run, LeaveOut(person=person(SECOND)), story.at))
    assert (story.run.status, story.run.outcome) == (Status.ENDED, fact.Outcome.TAKEN_OVER)
    assert SECOND in story.run.reason


def test_a_run_that_had_not_taken_its_backend_out_says_so_and_ends_on_the_word_that_the_work_is_done() -> None:
    """It stays in use: nobody says that it stays out. A command that failed may have taken no vhosts either."""
    for story in (Story().until("download-packages").fail(), Story().until("set-vhosts-to-zero").fail()):
        story.tell(fact.TakenOver(by=THIRD, reason="by hand"))
        assert not story.run.was_out
        (ended,) = decide(story.run, LeaveOut(person=person(SECOND)), story.at)
        assert isinstance(ended, fact.RunEnded)
        assert ended.reason == f"<@{SECOND}> says that the work by hand is done"


def test_a_backend_that_was_taken_out_is_out_until_it_was_seen_back() -> None:
    """Also on the way back: what gave it users is no proof, the check behind that is."""
    back = Story().until("drain", on=Status.WAITING).tell(fact.GoBackAsked(by=SECOND, reason="x"))
    way_back = going_back(back.run)
    assert way_back is not None
    back.tell(fact.TurnedBack(plan=way_back))
    assert back.run.was_out
    assert back.until("users-come-back").run.was_out
    for step, out in (
        ("set-vhosts-to-zero", False),
        ("drain", True),
        ("director-up", True),
        ("users-come-back", True),
    ):
        assert Story().until(step).run.was_out is out, step


def test_one_that_is_seen_out_after_the_take_over_is_known_to_be_out_from_then_on() -> None:
    story = Story().until("set-vhosts-to-zero").fail().tell(fact.TakenOver(by=THIRD, reason="by hand"))
    story.tell(fact.SeenOut(reason="director-1: vhosts is 0"))
    out = story.at
    assert story.run.was_out
    story.at += timedelta(hours=1)
    story.tell(fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason="every director gives it users again"))
    assert (story.run.ring.seen_out, story.run.ring.out_until) == (out, story.at)


def test_a_backend_stays_out_only_by_the_word_of_somebody_who_may_once_it_was_taken_over() -> None:
    """The ring is let go by it: a second backend may be taken out."""
    with pytest.raises(Refused, match="Nobody has taken"):
        decide(asking().run, LeaveOut(person=person(SECOND)), Story().at)
    with pytest.raises(Refused, match="neither"):
        decide(taken().run, LeaveOut(person=person(THIRD, may_approve=False, may_ask=False)), Story().at)


def test_a_backend_that_was_in_use_is_out_since_it_was_taken_out_by_hand() -> None:
    """Not since the run had taken it out, hours before."""
    began, given, by_hand = (NOON + timedelta(hours=hours) for hours in (0, 1, 6))
    before = RingState(out_since=began, out_until=given)
    assert before.taken_out_by_hand(by_hand).out_since == by_hand
    assert replace(before, out_until=None).taken_out_by_hand(by_hand).out_since == began
