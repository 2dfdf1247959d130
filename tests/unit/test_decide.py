"""What people may do to a run, by any order of clicks; a refusal makes no fact."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.core import events as fact
from bot.core.approval import Person, still_good
from bot.core.decide import AgreeToSkip, Approve, Deny, GoBack, ProposeSkip, Retry, decide
from bot.core.procedure import Gate
from bot.core.run import Run, Status
from bot.errors import Refused
from tests.build import REQUESTER, SECOND, THIRD, Story


def person(user: str, *, may_approve: bool = True, may_ask: bool = True, barred: str = "") -> Person:
    return Person(id=user, may_ask=may_ask, may_approve=may_approve, barred=barred)


def asking() -> Story:
    return Story().until("approve-flush", on=Status.ASKING)


def ask_of(run: Run) -> int:
    assert run.asked is not None
    return run.asked.seq


def test_a_second_engineers_click_approves_for_the_digest_that_was_asked() -> None:
    story = asking()
    (told,) = decide(story.run, Approve(person=person(SECOND), ask=ask_of(story.run), message="9.9"), story.at)
    assert isinstance(told, fact.Approved)
    asked_for = story.run.digest_for(Gate.FLUSH, ("as it should be",), {})
    assert (told.by, told.message, told.digest) == (SECOND, "9.9", asked_for)


@pytest.mark.parametrize("command", [Approve, Deny])
@pytest.mark.parametrize(
    ("who", "why"),
    [
        (person(REQUESTER), "whoever asked for a run"),
        (person(THIRD, may_approve=False), "not one of the approvers"),
        (person("U0BOT", barred="a bot"), "a bot"),
    ],
)
def test_a_click_that_does_not_count_goes_on_the_record(
    who: Person, why: str, command: type[Approve] | type[Deny]
) -> None:
    story = asking()
    (told,) = decide(story.run, command(person=who, ask=ask_of(story.run), message="9.9"), story.at)
    assert isinstance(told, fact.ApprovalRefused)
    assert why in told.reason
    assert story.tell(told).run.status is Status.ASKING


def test_the_first_click_wins_and_the_second_is_told_who_was_first() -> None:
    story = asking()
    ask = ask_of(story.run)
    story.tell(*decide(story.run, Approve(person=person(SECOND), ask=ask, message="9.9"), story.at))
    with pytest.raises(Refused, match=SECOND):
        decide(story.run, Approve(person=person(THIRD), ask=ask, message="9.9"), story.at)
    with pytest.raises(Refused, match=SECOND):
        decide(story.run, Deny(person=person(THIRD), ask=ask, message="9.9"), story.at)


def test_a_click_on_an_older_question_is_refused() -> None:
    """A retry asks anew; the old message's buttons may still be on somebody's phone."""
    story = asking()
    old = ask_of(story.run)
    story.tell(fact.ApprovalExpired(step="approve-flush", gate=Gate.FLUSH), fact.RetryChosen(by=REQUESTER))
    story.tell(*story.well())
    assert ask_of(story.run) != old
    with pytest.raises(Refused, match="older question"):
        decide(story.run, Approve(person=person(SECOND), ask=old, message="9.9"), story.at)


def test_an_expired_question_takes_no_approval_even_before_the_bot_has_noticed() -> None:
    story = asking()
    late = story.at + timedelta(hours=2)
    (told,) = decide(story.run, Approve(person=person(SECOND), ask=ask_of(story.run), message="9.9"), late)
    assert isinstance(told, fact.ApprovalRefused)


def test_an_approval_is_judged_again_before_it_is_acted_on() -> None:
    story = asking()
    story.tell(*story.well())
    grant = story.run.grant
    assert grant is not None
    assert still_good(story.run, grant, person(SECOND), story.at) == ""
    assert "may not approve any more" in still_good(story.run, grant, person(SECOND, may_approve=False), story.at)
    assert "left the company" in still_good(story.run, grant, person(SECOND, barred="left the company"), story.at)
    assert "expired" in still_good(story.run, grant, person(SECOND), story.at + timedelta(hours=2))


def test_somebody_who_may_do_nothing_steers_nothing() -> None:
    story = Story().until("stop-lmtp").fail()
    nobody = person(THIRD, may_approve=False, may_ask=False)
    for command in (
        Retry(person=nobody, held=story.run.held),
        ProposeSkip(person=nobody, held=story.run.held, reason="x"),
        GoBack(person=nobody, reason="x"),
    ):
        with pytest.raises(Refused, match="neither"):
            decide(story.run, command, story.at)


def test_retry_and_skip_need_a_run_that_holds() -> None:
    story = Story().until("stop-lmtp", on=Status.BUSY)
    for command in (Retry(person=person(SECOND), held=0), ProposeSkip(person=person(SECOND), held=0, reason="x")):
        with pytest.raises(Refused, match="does not hold"):
            decide(story.run, command, story.at)


def test_a_skip_needs_a_reason_and_a_second_engineer() -> None:
    story = Story().until("users-come-back").fail()
    with pytest.raises(Refused, match="reason"):
        decide(story.run, ProposeSkip(person=person(REQUESTER), held=story.run.held, reason="  "), story.at)
    story.tell(
        *decide(story.run, ProposeSkip(person=person(THIRD), held=story.run.held, reason="quiet night"), story.at)
    )
    for who in (person(REQUESTER), person(THIRD)):
        with pytest.raises(Refused, match="second engineer"):
            decide(story.run, AgreeToSkip(person=who, ask=story.run.seq), story.at)
    with pytest.raises(Refused, match="no such proposal"):
        decide(story.run, AgreeToSkip(person=person(SECOND), ask=story.run.seq - 1), story.at)
    story.tell(*decide(story.run, AgreeToSkip(person=person(SECOND), ask=story.run.seq), story.at))
    assert story.until(None, on=Status.ENDED).run.outcome is fact.Outcome.DONE


def test_an_approval_can_never_be_skipped() -> None:
    story = asking().tell(fact.ApprovalExpired(step="approve-flush", gate=Gate.FLUSH))
    with pytest.raises(Refused, match="cannot be skipped"):
        decide(story.run, ProposeSkip(person=person(SECOND), held=story.run.held, reason="nobody is there"), story.at)


def test_what_going_back_needs_can_never_be_skipped() -> None:
    """Else a configuration would be put in place that nothing could take away again."""
    story = Story().until("running-config-is-known").fail()
    with pytest.raises(Refused, match="no way back"):
        decide(story.run, ProposeSkip(person=person(SECOND), held=story.run.held, reason="in a hurry"), story.at)


def test_giving_users_back_can_never_be_skipped() -> None:
    """Or the run could end, and free its ring, with a backend that everybody has forgotten at vhost count 0."""
    story = Story().until("set-vhosts-back").fail()
    with pytest.raises(Refused, match="forgotten"):
        decide(story.run, ProposeSkip(person=person(SECOND), held=story.run.held, reason="later"), story.at)


def test_there_is_no_way_back_once_users_come_back() -> None:
    """Taking the backend away from users who are on it again is an outage of its own."""
    story = Story().until("director-up").fail()
    with pytest.raises(Refused, match="put back into the ring"):
        decide(story.run, GoBack(person=person(REQUESTER), reason="abort"), story.at)


def test_a_run_that_is_over_takes_no_command() -> None:
    story = Story().until(None, on=Status.ENDED)
    with pytest.raises(Refused, match="is over"):
        decide(story.run, GoBack(person=person(REQUESTER), reason="abort"), story.at)
