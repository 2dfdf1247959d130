"""What people may do to a run, by any order of clicks; a refusal makes no fact."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from bot.core.decisions.approval import Person, digest_for, still_good, waits_for
from bot.core.decisions.decide import (
    Approve,
    GoBack,
    Postpone,
    ProposeSkip,
    Retry,
    WaitLonger,
    decide,
)
from bot.core.decisions.goback import going_back, way_back_shown
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import REQUESTER, SECOND, STANDS, THIRD, Story


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
    assert story.run.asked is not None
    asked = story.run.asked.fact
    assert isinstance(asked, fact.ApprovalAsked)
    shown = (*asked.evidence, *asked.alarms, *asked.brief)
    asked_for = digest_for(story.run, Gate.FLUSH, shown, STANDS)
    assert (told.by, told.message, told.digest) == (SECOND, "9.9", asked_for)


@pytest.mark.parametrize(
    ("who", "why"),
    [
        (person(REQUESTER), "whoever asked for a run"),
        (person(THIRD, may_approve=False), "not one of the approvers"),
        (person("U0BOT", barred="a bot"), "a bot"),
    ],
)
def test_a_click_that_does_not_count_goes_on_the_record(who: Person, why: str) -> None:
    story = asking()
    (told,) = decide(story.run, Approve(person=who, ask=ask_of(story.run), message="9.9"), story.at)
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
        decide(story.run, Postpone(person=person(THIRD), ask=ask, reason="wait", message="9.9"), story.at)


def test_not_now_holds_the_run_as_it_is_on_anybodys_word_and_can_be_asked_again() -> None:
    """*Deny* said that nothing more is changed, and then stopped dovecot and swapped its configuration."""
    story, touched = asking(), asking().run.touched
    with pytest.raises(Refused, match="needs a reason"):
        decide(story.run, Postpone(person=person(SECOND), ask=ask_of(story.run), reason=" ", message="9.9"), story.at)
    nobody = person(THIRD, may_approve=False, may_ask=False)
    with pytest.raises(Refused, match="neither"):
        decide(story.run, Postpone(person=nobody, ask=ask_of(story.run), reason="no", message="9.9"), story.at)
    later = Postpone(person=person(REQUESTER), ask=ask_of(story.run), reason="the storage is slow", message="9.9")
    story.tell(*decide(story.run, later, story.at))
    assert (story.run.status, story.run.turning, story.run.touched) == (Status.HELD, False, touched)
    assert "the storage is slow" in story.run.reason
    assert story.tell(fact.RetryChosen(by=SECOND)).until("approve-flush", on=Status.ASKING)


def test_a_question_that_somebody_denied_in_an_older_version_says_so_and_not_that_the_run_held() -> None:
    story = asking()
    first = ask_of(story.run)
    story.tell(fact.Denied(step="approve-flush", gate=Gate.FLUSH, by=SECOND, message="9.9"))
    with pytest.raises(Refused, match=f"closed: <@{SECOND}> was first and denied it"):
        decide(story.run, Approve(person=person(THIRD), ask=first, message="9.9"), story.at)


def longer(story: Story, who: Person | None = None, **more: str) -> tuple[fact.Fact, ...]:
    ask = ask_of(story.run)
    wanted = WaitLonger(person=who or person(SECOND), ask=ask, reason="", message="9.9", **more)
    return decide(story.run, wanted, story.at)


def test_waiting_longer_drains_again_on_the_word_of_whoever_may_ask_or_approve_and_asks_anew_three_times_at_most() -> (
    None
):
    """The question that was open is void; its buttons say what happened, also once it is asked anew."""
    story = asking()
    first = ask_of(story.run)
    for time in (1, 2, 3):
        story.tell(*longer(story, person(REQUESTER)))
        with pytest.raises(Refused, match=f"closed: <@{REQUESTER}> was first and chose to wait longer"):
            decide(story.run, Approve(person=person(SECOND), ask=first, message="9.9"), story.at)
        assert story.until("drain", on=Status.WAITING).run.until is not None
        assert story.until("approve-flush", on=Status.ASKING).run.longer_waits == time
        assert "drain" in story.run.seen_done
        with pytest.raises(Refused, match=r"older question: .* chose to wait longer"):
            decide(story.run, Approve(person=person(SECOND), ask=first, message="9.9"), story.at)
    with pytest.raises(Refused, match="3 times already"):
        longer(story)
    assert story.until(None, on=Status.ENDED).run.outcome is fact.Outcome.DONE


def test_waiting_longer_is_refused_to_others_where_nothing_was_waited_for_and_when_it_is_too_late() -> None:
    story = asking()
    with pytest.raises(Refused, match="neither"):
        longer(story, person(THIRD, may_approve=False, may_ask=False))
    with pytest.raises(Refused, match="changed since it was shown"):
        longer(story, shown="another")
    story.at += timedelta(days=1)
    with pytest.raises(Refused, match="expired"):
        longer(story)
    with pytest.raises(Refused, match="no wait right before"):
        longer(Story().until("approve-restore", on=Status.ASKING))


def draining() -> Story:
    return Story().until("drain", on=Status.WAITING)


def turned(story: Story, person: Person, *, shown: bool = True) -> Story:
    """Somebody asks to go back, having seen what that would do, and the run turns round."""
    back = going_back(story.run)
    command = GoBack(person=person, reason="x", shown=way_back_shown(back) if shown else "")
    story.tell(*decide(story.run, command, story.at))
    assert back is not None
    return story.tell(fact.TurnedBack(plan=back))


def test_where_only_vhosts_were_taken_an_approvers_word_to_go_back_is_the_restore_approval() -> None:
    """Of the command that was shown; it is written with the question, and the requester is somebody else."""
    story = turned(draining(), person(SECOND))
    story.until("undo-set-vhosts-to-zero")
    (given,) = story.run.grants
    assert (given.gate, given.by) == (Gate.RESTORE, SECOND)
    asked = next(one.fact for one in story.entries if isinstance(one.fact, fact.ApprovalAsked))
    assert (asked.word_of, asked.not_by) == (SECOND, (REQUESTER,))
    assert story.until(None, on=Status.ENDED).run.outcome is fact.Outcome.WENT_BACK


@pytest.mark.parametrize(
    ("story", "by", "shown"),
    [
        (draining, person(REQUESTER), True),
        (draining, person(SECOND, may_approve=False), True),
        (draining, person(SECOND), False),
        (lambda: Story().until("director-down").fail(), person(SECOND), True),
    ],
    ids=["the requester", "no approver", "nothing shown", "dovecot stopped"],
)
def test_in_every_other_case_somebody_else_has_to_approve_the_way_back(
    story: Callable[[], Story], by: Person, shown: bool
) -> None:
    told = turned(story(), by, shown=shown)
    while told.run.status is not Status.ASKING:
        told.tell(*told.well())
    assert not told.run.grants or told.run.granted == {Gate.FLUSH}
    (refused,) = decide(told.run, Approve(person=person(by.id), ask=ask_of(told.run), message="9.9"), told.at)
    assert isinstance(refused, fact.ApprovalRefused)
    other = REQUESTER if by.id == SECOND else SECOND
    (approved,) = decide(told.run, Approve(person=person(other), ask=ask_of(told.run), message="9.9"), told.at)
    assert isinstance(approved, fact.Approved)


def test_the_word_to_go_back_counts_once_and_not_after_a_hold() -> None:
    """Hours later it is asked for; whoever asked may click then, as what they asked for is that one command."""
    story = turned(draining(), person(SECOND))
    story.tell(*story.well()).fail().tell(fact.RetryChosen(by=REQUESTER)).until("approve-restore", on=Status.ASKING)
    assert not story.run.grants
    for who, counts in ((REQUESTER, False), (SECOND, True)):
        (told,) = decide(story.run, Approve(person=person(who), ask=ask_of(story.run), message="9.9"), story.at)
        assert isinstance(told, fact.Approved) is counts


def test_going_back_is_refused_when_it_would_do_something_else_than_was_shown() -> None:
    story = draining()
    shown = way_back_shown(going_back(story.run))
    story.until("stop-lmtp").fail()
    with pytest.raises(Refused, match="has changed since"):
        decide(story.run, GoBack(person=person(SECOND), reason="x", shown=shown), story.at)


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


def test_there_is_no_way_back_once_users_come_back() -> None:
    """Taking the backend away from users who are on it again is an outage of its own."""
    story = Story().until("director-up").fail()
    with pytest.raises(Refused, match="put back into the ring"):
        decide(story.run, GoBack(person=person(REQUESTER), reason="abort"), story.at)


def test_a_run_that_is_over_takes_no_command() -> None:
    story = Story().until(None, on=Status.ENDED)
    with pytest.raises(Refused, match="is over"):
        decide(story.run, GoBack(person=person(REQUESTER), reason="abort"), story.at)


def test_dovecot_is_started_first_only_while_users_wait_for_it() -> None:
    """Later, it would begin undoing what nobody has approved to be undone."""
    waiting = Story().until("director-down").fail("no other backend")
    first = GoBack(person=person(THIRD), reason="start it", answers=waiting.run.held, start_first=True)
    (told,) = decide(waiting.run, first, waiting.at)
    assert isinstance(told, fact.GoBackAsked)
    assert told.start_first
    for step in ("stop-lmtp", "mask-dovecot", "start-dovecot"):
        story = Story().until(step).fail()
        command = GoBack(person=person(THIRD), reason="start it", answers=story.run.held, start_first=True)
        with pytest.raises(Refused, match="cannot be started first"):
            decide(story.run, command, story.at)


def test_a_run_waits_for_whoever_could_answer_it_now() -> None:
    """Not for the requester at a gate; at a hold for everybody who may steer; once taken over for who did that."""
    nobody, approver = person("U0DAVE", may_ask=False, may_approve=False), person(SECOND)
    gate, held = asking().run, asking().tell(fact.RunHeld(reason="?")).run
    taken = asking().tell(fact.TakenOver(by=THIRD, reason="by hand")).run
    waits = [[waits_for(run, one) for one in (approver, person(REQUESTER), nobody)] for run in (gate, held, taken)]
    assert waits == [[True, False, False], [True, True, False], [False, False, False]]
    assert waits_for(taken, person(THIRD))
    assert not waits_for(draining().run, approver)
    assert not waits_for(gate, person(SECOND, barred="gone"))
