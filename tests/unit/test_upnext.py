"""What is next, given the facts and the time: questions that nobody answers, waits, attempts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core import events as fact
from bot.core.fold import fold
from bot.core.plan import Plan, make_plan
from bot.core.procedure import Gate
from bot.core.run import Status
from bot.core.upnext import Ask, Rest, Tell, next_action
from bot.errors import Illegal
from tests.build import Story, library, order


def repeating() -> Plan:
    """A plan whose questions are said again after 5 and 15 minutes, and expire after an hour."""
    repeats = (timedelta(minutes=5), timedelta(minutes=15))
    return make_plan(library().procedures[0], replace(order(), approval_repeats=repeats))


def asking() -> Story:
    return Story(repeating()).until("approve-flush", on=Status.ASKING)


def at(story: Story, minutes: float) -> object:
    assert story.run.asked is not None
    action = next_action(story.run, story.run.asked.at + timedelta(minutes=minutes))
    return action.fact if isinstance(action, Tell) else action


def test_a_question_is_said_again_then_to_all_then_expires() -> None:
    story = asking()
    assert isinstance(at(story, 4), Rest)
    once = at(story, 6)
    assert isinstance(once, fact.ApprovalRepeated)
    assert (once.times, once.last) == (1, False)
    story.tell(once)
    assert isinstance(at(story, 14), Rest)
    twice = at(story, 16)
    assert isinstance(twice, fact.ApprovalRepeated)
    assert (twice.times, twice.last) == (2, True)
    story.tell(twice)
    assert isinstance(at(story, 59), Rest)
    assert isinstance(at(story, 61), fact.ApprovalExpired)


def test_a_bot_that_was_away_says_a_question_again_only_once() -> None:
    late = at(asking(), 20)
    assert isinstance(late, fact.ApprovalRepeated)
    assert (late.times, late.last) == (2, True)


def test_an_expired_question_holds_and_a_retry_asks_anew() -> None:
    story = asking()
    story.tell(fact.ApprovalExpired(step="approve-flush", gate=Gate.FLUSH))
    assert story.run.status is Status.HELD
    story.tell(fact.RetryChosen(by="U0BOB"))
    assert next_action(story.run, story.at) == Ask(gate=Gate.FLUSH)


def test_a_drain_rests_until_its_date_and_not_a_moment_less() -> None:
    story = Story().until("drain", on=Status.WAITING)
    assert story.run.until is not None
    before = next_action(story.run, story.run.until - timedelta(seconds=1))
    assert before == Rest(until=story.run.until)
    after = next_action(story.run, story.run.until)
    assert isinstance(after, Tell)
    assert isinstance(after.fact, fact.StepDone)


NEWER = {
    "StepStarted": {"looked"},
    "ApprovalAsked": {"repeats"},
    "RunRequested": {"config", "command"},
    "StepDone": {"attachment", "remembered"},
}
"""Fields that came after the first version of a fact."""


def test_a_journal_of_an_older_version_folds_to_the_same_run() -> None:
    """A run that was begun before an update of the bot goes on after it."""
    story = Story().until(None, on=Status.ENDED)
    old = []
    for entry in story.entries:
        kind = type(entry.fact).__name__
        body = {key: value for key, value in fact.body_of(entry.fact).items() if key not in NEWER.get(kind, set())}
        old.append(fact.Entry(run=entry.run, seq=entry.seq, at=entry.at, fact=fact.fact_from(kind, body)))
    run = fold(old)
    assert run is not None
    assert (run.status, run.outcome, run.position) == (story.run.status, story.run.outcome, story.run.position)


def test_what_an_old_journal_has_and_this_version_does_not_know_is_damage_and_not_guessed() -> None:
    with pytest.raises(Illegal, match="unknown kind"):
        fact.fact_from("StepSomething", {})


def test_people_are_called_once_about_a_ring_that_keeps_changing_while_the_run_holds_already() -> None:
    """Its watch looks less often from then on: nobody may believe that all is quiet."""
    story = Story().until("test-user-reads-mail").fail("no mail")
    deviated = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100")
    for _ in range(2):
        assert isinstance(next_action(story.tell(deviated).run, story.at), Rest)
    action = next_action(story.tell(deviated).run, story.at)
    assert isinstance(action, Tell)
    assert isinstance(action.fact, fact.RunHeld)
    assert "set back 3 times" in action.fact.reason
    story.tell(action.fact)
    assert isinstance(next_action(story.tell(deviated).run, story.at), Rest)
