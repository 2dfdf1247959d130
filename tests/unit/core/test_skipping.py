"""A held step is tried again or left out: with a reason, by two people, and never what the way back needs."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.decisions.decide import (
    AgreeToSkip,
    ProposeSkip,
    Retry,
    decide,
)
from bot.core.plans.plan import Expected, PlannedCheck
from bot.core.plans.procedure import Gate, Where
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import REQUESTER, SECOND, THIRD, Story, plan
from tests.unit.core.test_decide import asking, person


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


def test_a_proposal_counts_only_while_whoever_made_it_may_steer_the_run() -> None:
    """The requester may, with no other right; about whom Slack does not answer now, nothing is known."""
    for proposer, may in (
        (person(THIRD, may_approve=False), True),
        (person(REQUESTER, may_approve=False, may_ask=False), True),
        (replace(person(THIRD, barred="Slack does not say"), unsure=True), True),
        (person(THIRD, may_approve=False, may_ask=False), False),
        (person(THIRD, barred="this account is deactivated"), False),
    ):
        story = Story().until("users-come-back").fail()
        story.tell(fact.SkipProposed(by=proposer.id, step="users-come-back", reason="quiet night"))
        agree = AgreeToSkip(person=person(SECOND), ask=story.run.seq, proposer=proposer)
        if may:
            assert decide(story.run, agree, story.at) == (fact.SkipAgreed(by=SECOND, step="users-come-back"),)
        else:
            with pytest.raises(Refused, match="who proposed this, may not steer runs any more"):
                decide(story.run, agree, story.at)


def test_what_was_seen_last_is_kept_where_the_check_behind_the_restore_is_skipped() -> None:
    """With the time when it was seen: whoever reads how the run ended comes hours later."""
    story = Story().until("stop-was-clean").fail("it was killed")
    story.tell(fact.SkipProposed(by=THIRD, step="stop-was-clean", reason="x"))
    story.tell(fact.SkipAgreed(by=SECOND, step="stop-was-clean"))
    story.until("users-come-back").fail("director-1: vhosts is 0, expected 100")
    at = story.at
    story.at += timedelta(hours=2)
    assert story.run.ring.not_back == "", "what is skipped before the restore is another matter"
    story.tell(fact.SkipProposed(by=THIRD, step="users-come-back", reason="x"))
    story.tell(fact.SkipAgreed(by=SECOND, step="users-come-back"))
    ring = story.run.ring
    assert (ring.not_back, ring.not_back_at) == ("director-1: vhosts is 0, expected 100", at)


def test_it_counts_no_more_once_every_director_is_seen_to_give_it_users() -> None:
    """Somebody takes over before the run has ended, and puts it back by hand."""
    story = Story().until("users-come-back").fail("director-1: vhosts is 0, expected 100")
    story.tell(fact.SkipProposed(by=THIRD, step="users-come-back", reason="x"))
    story.tell(fact.SkipAgreed(by=SECOND, step="users-come-back"), fact.TakenOver(by=THIRD, reason="I put it back"))
    story.tell(fact.RunEnded(outcome=fact.Outcome.TAKEN_OVER, reason="every director gives it users again"))
    assert (story.run.ring.not_back, story.run.ring.out_until) == ("", story.at)


def test_what_was_seen_back_stays_so_where_another_check_behind_that_is_skipped() -> None:
    """A site's own procedure may have one more, of something else."""
    made = plan()
    *stages, last = made.stages
    back = last.steps[-1]
    assert isinstance(back, PlannedCheck)
    looks = (Expected(probe="unit", where=Where.BACKEND, asks={"name": "canary", "active": "active"}),)
    canary = replace(back, name="canary-runs", says="The canary runs", expect=looks, hopes=None)
    story = Story(replace(made, stages=(*stages, replace(last, steps=(*last.steps, canary))))).until("canary-runs")
    story.fail("backend-3: canary active is failed").tell(
        fact.SkipProposed(by=THIRD, step="canary-runs", reason="a fault of its own"),
        fact.SkipAgreed(by=SECOND, step="canary-runs"),
    )
    assert story.run.ring.not_back == ""


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


def test_taking_the_vhosts_away_can_never_be_skipped() -> None:
    """Or a run that goes back would end with a backend at vhost count 0, as it had nothing to undo."""
    story = Story().until("set-vhosts-to-zero").fail()
    with pytest.raises(Refused, match="found done"):
        decide(story.run, ProposeSkip(person=person(SECOND), held=story.run.held, reason="by hand"), story.at)
