"""An older copy of the journal was put back: a button of what it does not have answers nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.decisions.approval import Person
from bot.core.decisions.decide import AgreeToSkip, Approve, GoBack, Retry, WaitLonger, decide
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import SECOND, THIRD, Story

BOB = Person(id=SECOND, may_ask=True, may_approve=True)


def test_a_click_on_what_the_journal_has_lost_is_refused_and_one_without_a_mark_counts() -> None:
    """An older copy of the journal was put back: the thread has both questions, and both have the same number."""
    lost, story = Story().until("approve-flush", on=Status.ASKING), Story().until("approve-flush")
    old = lost.entries[-1]
    assert isinstance(old.fact, fact.ApprovalAsked)
    new = story.tell(replace(old.fact, digest="b" * 64)).entries[-1]
    assert new.seq == old.seq
    for command in (
        Approve(person=BOB, ask=old.seq, message="9.9", mark=old.mark),
        WaitLonger(person=BOB, ask=old.seq, reason="", message="9.9", mark=old.mark),
        GoBack(person=BOB, reason="x", answers=old.seq, mark=old.mark),
    ):
        with pytest.raises(Refused, match="an older copy of it was put back"):
            decide(story.run, command, story.at)
        assert decide(story.run, replace(command, mark=new.mark), story.at)
        assert decide(story.run, replace(command, mark=""), story.at), "as buttons of older threads are"


def test_a_hold_or_a_skip_that_the_journal_has_lost_is_not_answered() -> None:
    """Its message says what was wrong then, and which step was to be left out."""
    story = Story().until("stop-lmtp").fail()
    hold = story.entries[-1]
    lost = replace(hold, at=hold.at + timedelta(minutes=1)).mark
    with pytest.raises(Refused, match="an older copy of it was put back"):
        decide(story.run, Retry(person=BOB, held=hold.seq, mark=lost), story.at)
    assert decide(story.run, Retry(person=BOB, held=hold.seq, mark=hold.mark), story.at)
    proposed = story.tell(fact.SkipProposed(by=THIRD, step="stop-lmtp", reason="x")).entries[-1]
    with pytest.raises(Refused, match="an older copy of it was put back"):
        decide(story.run, AgreeToSkip(person=BOB, ask=proposed.seq, mark=lost), story.at)
    assert decide(story.run, AgreeToSkip(person=BOB, ask=proposed.seq, mark=proposed.mark), story.at)
