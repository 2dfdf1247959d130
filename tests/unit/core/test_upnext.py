"""What is next, given the facts and the time: questions that nobody answers, waits, attempts."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.decisions.upnext import Ask, MakeChange, Prove, Record, RunCheck, Sleep, next_action
from bot.core.plans.fill import make_plan
from bot.core.plans.plan import Plan
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.fold import fold
from bot.core.runs.ring_state import DEVIATIONS
from bot.core.runs.transitions import Status
from bot.errors import Illegal
from tests.build import PROVED, Story, library, order


def repeating() -> Plan:
    """A plan whose questions are said again after 5 and 15 minutes, and expire after an hour."""
    repeats = (timedelta(minutes=5), timedelta(minutes=15))
    return make_plan(library().procedures[0], replace(order(), approval_repeats=repeats))


def asking() -> Story:
    return Story(repeating()).until("approve-flush", on=Status.ASKING)


def at(story: Story, minutes: float) -> object:
    assert story.run.asked is not None
    action = next_action(story.run, story.run.asked.at + timedelta(minutes=minutes))
    return action.fact if isinstance(action, Record) else action


def test_a_question_is_said_again_then_to_all_then_expires() -> None:
    story = asking()
    assert isinstance(at(story, 4), Sleep)
    once = at(story, 6)
    assert isinstance(once, fact.ApprovalRepeated)
    assert (once.times, once.last) == (1, False)
    story.tell(once)
    assert isinstance(at(story, 14), Sleep)
    twice = at(story, 16)
    assert isinstance(twice, fact.ApprovalRepeated)
    assert (twice.times, twice.last) == (2, True)
    story.tell(twice)
    assert isinstance(at(story, 59), Sleep)
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
    assert before == Sleep(until=story.run.until)
    after = next_action(story.run, story.run.until)
    assert isinstance(after, Record)
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
        stored = json.loads(fact.body_of(entry.fact))
        body = json.dumps({key: value for key, value in stored.items() if key not in NEWER.get(kind, set())})
        old.append(fact.Entry(run=entry.run, seq=entry.seq, at=entry.at, fact=fact.fact_from(kind, body)))
    run = fold(old)
    assert run is not None
    assert (run.status, run.outcome, run.position) == (story.run.status, story.run.outcome, story.run.position)


def test_what_an_old_journal_has_and_this_version_does_not_know_is_damage_and_not_guessed() -> None:
    with pytest.raises(Illegal, match="unknown kind"):
        fact.fact_from("StepSomething", "{}")


def test_people_are_called_once_about_a_ring_that_keeps_changing_while_the_run_holds_already() -> None:
    """Its watch looks less often from then on: nobody may believe that all is quiet."""
    story = Story().until("test-user-reads-mail").fail("no mail")
    deviated = fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100")
    for _ in range(2):
        assert isinstance(next_action(story.tell(deviated).run, story.at), Sleep)
    action = next_action(story.tell(deviated).run, story.at)
    assert isinstance(action, Record)
    assert isinstance(action.fact, fact.RunHeld)
    assert "again 3 times" in action.fact.reason
    story.tell(action.fact)
    assert isinstance(next_action(story.tell(deviated).run, story.at), Sleep)


def test_every_host_proves_itself_before_the_first_look_is_taken_for_granted() -> None:
    """A check of the wrong host would hold, and all that follows would be done there."""
    story = Story()
    assert next_action(story.run, story.at) == Record(fact=fact.StageBegan(stage="preflight"))
    story.tell(*story.well())
    assert next_action(story.run, story.at) == Prove()
    assert isinstance(next_action(story.tell(PROVED).run, story.at), RunCheck)


def test_a_host_that_does_not_prove_itself_ends_the_run_as_refused() -> None:
    story = Story().tell(fact.StageBegan(stage="preflight"), fact.RunHeld(reason="backend-3 is another machine"))
    assert next_action(story.run, story.at) == Record(
        fact=fact.RunEnded(outcome=fact.Outcome.REFUSED, reason="backend-3 is another machine")
    )


def test_a_run_that_an_older_version_began_is_not_stopped_for_a_proof_once_its_backend_is_out() -> None:
    """There, each change proves its own connection; a run that ended would leave the backend out."""
    story = Story()
    told = [entry.fact for entry in Story().until("stop-lmtp").entries if not isinstance(entry.fact, fact.HostsProved)]
    story.tell(*told[1:])
    assert story.run.proved is None
    assert isinstance(next_action(story.run, story.at), MakeChange)


HELPLESS = fact.RingDeviated(
    step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100", helpless="no other backend can be used"
)


@pytest.mark.parametrize(
    ("step", "on"),
    [
        ("drain", Status.WAITING),
        ("approve-flush", Status.ASKING),
        ("stop-lmtp", Status.READY),
        ("stop-dovecot", Status.READY),
        ("install-packages", Status.READY),
        ("approve-restore", Status.ASKING),
    ],
)
def test_a_ring_that_cannot_be_set_back_makes_the_run_hold_wherever_nobody_waits(step: str, on: Status) -> None:
    """Also in the middle of the take-down, as long as dovecot serves."""
    story = Story().until(step, on=on).tell(HELPLESS)
    assert next_action(story.run, story.at) == Record(fact=fact.RunHeld(reason="no other backend can be used"))


@pytest.mark.parametrize("reason", [[HELPLESS], [replace(HELPLESS, helpless="")] * DEVIATIONS])
def test_users_who_wait_are_moved_first_and_then_it_holds(reason: list[fact.Fact]) -> None:
    story = Story().until("director-down").tell(*reason)
    for step in ("director-down", "flush-users"):
        assert story.run.step is not None
        assert story.run.step.name == step
        assert isinstance(next_action(story.run, story.at), MakeChange)
        story.tell(*story.well()).tell(*story.well())
    action = next_action(story.run, story.at)
    assert isinstance(action, Record)
    assert isinstance(action.fact, fact.RunHeld)


def test_a_run_that_holds_already_says_the_second_reason_too_and_once() -> None:
    story = Story().until("test-user-reads-mail").fail("no mail").tell(HELPLESS)
    story.tell(*story.well())
    assert story.run.reason == "no other backend can be used"
    assert next_action(story.run, story.at) == Sleep(until=None)


def test_after_a_boot_it_holds_and_goes_on_from_what_is_gone() -> None:
    story = Story().until("install-config")
    story.tell(fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason="gone", lost="stop-dovecot"))
    action = next_action(story.run, story.at)
    assert isinstance(action, Record)
    assert isinstance(action.fact, fact.RunHeld)
    assert action.fact.back_to == "stop-dovecot"
    story.tell(action.fact, fact.RetryChosen(by="U0BOB")).tell(*story.well())
    action = next_action(story.run, story.at)
    assert isinstance(action, MakeChange)
    assert action.step.name == "stop-dovecot"


def test_a_boot_that_took_nothing_away_stops_nothing() -> None:
    story = Story().until("install-config")
    story.tell(fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason="all is as it was"))
    assert isinstance(next_action(story.run, story.at), MakeChange)


def test_a_hold_says_each_reason_that_there_is() -> None:
    """It counts as the call for the ring, too: nobody is called about that once more."""
    story = Story().until("install-packages")
    deviated = fact.RingDeviated(step="install-packages", host="director-2", reason="vhosts is 100", sends=1)
    story.tell(*[deviated] * DEVIATIONS)
    story.tell(fact.BackendRebooted(host="backend-3", boot_id="b", was="a", reason="gone", lost="stop-dovecot"))
    story.tell(*story.well())
    assert story.run.status is Status.HELD
    assert "gone" in story.run.reason
    assert f"{DEVIATIONS} times" in story.run.reason
