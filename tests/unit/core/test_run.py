"""The state machine: laws first, then the table, then what a run remembers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from bot.core.decisions.goback import going_back
from bot.core.decisions.upnext import Turn, next_action
from bot.core.plans.effects import Effect
from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Fact, body_of, fact_from
from bot.core.runs.fold import apply, fold
from bot.core.runs.transitions import EVERYWHERE, TRANSITIONS, Status
from bot.errors import Illegal
from tests.build import REQUESTER, SECOND, THIRD, Story, plan


def test_everything_going_well_brings_a_run_through_every_step_to_its_end() -> None:
    story = Story().until(None, on=Status.ENDED)
    assert story.run.outcome is fact.Outcome.DONE
    assert story.run.granted == {Gate.FLUSH, Gate.RESTORE}


def test_the_state_is_the_fold_of_the_facts_at_every_point() -> None:
    """A restarted bot knows exactly what the stopped one knew."""
    story = Story().until(None, on=Status.ENDED)
    run = fold(story.entries[:1])
    for length in range(2, len(story.entries) + 1):
        assert run is not None
        run = apply(run, story.entries[length - 1])
        assert fold(story.entries[:length]) == run


def test_every_fact_survives_the_journal_unchanged() -> None:
    story = Story().until(None, on=Status.ENDED)
    for entry in story.entries:
        assert fact_from(type(entry.fact).__name__, body_of(entry.fact)) == entry.fact


@pytest.mark.parametrize("status", list(Status))
def test_a_fact_that_the_table_does_not_know_is_refused_and_changes_nothing(status: Status) -> None:
    story = _in(status)
    before = story.run
    for told in _one_of_each():
        known = type(told) in TRANSITIONS[status] or (type(told) in EVERYWHERE and status is not Status.ENDED)
        if not known:
            with pytest.raises(Illegal):
                apply(before, Entry(run=before.id, seq=before.seq + 1, at=story.at, fact=told))
    assert story.run is before


def test_no_kind_of_fact_both_moves_a_run_and_only_reports_something() -> None:
    """Which it is decides whether a decision made meanwhile still counts."""
    assert EVERYWHERE.isdisjoint(kind for facts in TRANSITIONS.values() for kind in facts)


def test_an_ended_run_takes_no_fact_at_all() -> None:
    assert TRANSITIONS[Status.ENDED] == {}


def test_a_fact_out_of_its_number_is_refused() -> None:
    story = Story()
    for seq in (0, 1, 3):
        with pytest.raises(Illegal):
            apply(story.run, Entry(run=story.run.id, seq=seq, at=story.at, fact=fact.StageBegan(stage="preflight")))


def test_a_run_that_does_not_begin_with_its_request_is_damaged() -> None:
    with pytest.raises(Illegal):
        fold([Entry(run="x", seq=1, at=Story().at, fact=fact.StageBegan(stage="preflight"))])


def test_an_approval_of_another_digest_is_refused_by_the_fold_itself() -> None:
    """Even a journal written by hand cannot make one approval stand for another."""
    story = Story().until("approve-flush", on=Status.ASKING)
    forged = fact.Approved(step="approve-flush", gate=Gate.FLUSH, by=SECOND, digest="0" * 64, message="1.1")
    with pytest.raises(Illegal):
        story.tell(forged)


def test_the_requesters_own_approval_is_refused_by_the_fold_itself() -> None:
    story = Story().until("approve-flush", on=Status.ASKING)
    asked = story.run.asked.fact if story.run.asked else None
    assert isinstance(asked, fact.ApprovalAsked)
    own = fact.Approved(
        step=asked.step, gate=asked.gate, by=story.run.request.requester, digest=asked.digest, message="1.1"
    )
    with pytest.raises(Illegal):
        story.tell(own)


def test_denying_turns_the_run_round_and_asking_to_go_back_does_too() -> None:
    denied = Story().until("approve-flush", on=Status.ASKING)
    denied.tell(fact.Denied(step="approve-flush", gate=Gate.FLUSH, by=SECOND, message="1.1"))
    assert denied.run.turning
    asked = Story().until("drain", on=Status.WAITING).tell(fact.GoBackAsked(by=THIRD, reason="abort"))
    assert asked.run.turning


@pytest.mark.parametrize("by", [REQUESTER, THIRD])
def test_on_the_way_back_whoever_asked_for_it_may_not_approve_and_everybody_else_may(by: str) -> None:
    """The only exception to *the requester never counts*: four eyes are two persons, and there may be only two."""
    story = Story().until("stop-lmtp").fail().tell(fact.GoBackAsked(by=by, reason="it does not get well"))
    assert story.run.not_by == (REQUESTER,)
    back = going_back(story.run)
    assert back is not None
    assert story.tell(fact.TurnedBack(plan=back)).run.not_by == (by,)


def test_a_run_turns_round_inside_the_take_down_only_when_a_step_of_it_failed() -> None:
    """Once begun, the take-down waits for nobody: a stop half done is the worst place to stand."""
    waiting = Story().until("stop-lmtp").tell(fact.GoBackAsked(by=THIRD, reason="abort"))
    assert waiting.run.stands_safely
    story = Story().until("stop-dovecot", on=Status.BUSY).tell(fact.GoBackAsked(by=THIRD, reason="abort"))
    assert not story.run.stands_safely
    story = story.until("stop-was-clean")
    assert not story.run.stands_safely
    story = story.until("config-before-packages")
    assert story.run.stands_safely
    failed = Story().until("stop-dovecot", on=Status.BUSY).fail().tell(fact.GoBackAsked(by=THIRD, reason="abort"))
    assert failed.run.stands_safely


def test_going_back_forgets_the_restore_approval() -> None:
    story = Story().until("ring-is-whole-for-the-restore").fail()
    assert Gate.RESTORE in story.run.granted
    story.tell(fact.GoBackAsked(by=THIRD, reason="no"), fact.TurnedBack(plan=plan()))
    assert Gate.RESTORE not in story.run.granted
    assert Gate.FLUSH in story.run.granted


def test_the_drains_end_is_a_date_in_the_facts() -> None:
    story = Story().until("drain", on=Status.WAITING)
    began = next(entry for entry in story.entries if isinstance(entry.fact, fact.WaitBegan))
    assert story.run.until is not None
    assert timedelta(0) <= began.at + timedelta(minutes=15) - story.run.until <= timedelta(seconds=2)


def test_the_ring_is_kept_as_it_was_until_the_step_that_takes_that_back() -> None:
    """An approval alone gives nothing back: where the restore holds unsent, the ring may forget as before."""
    story = Story().until("approve-restore", on=Status.ASKING)
    assert story.run.enforced == {Effect.TAKES_VHOSTS, Effect.DOWN, Effect.FLUSH}
    enforced = story.run.enforced
    assert story.until("ring-is-whole-for-the-restore").run.enforced == enforced
    assert story.until("set-vhosts-back").run.enforced == enforced
    assert story.until("set-vhosts-back", on=Status.BUSY).run.enforced == {Effect.DOWN, Effect.FLUSH}
    assert story.until("director-up", on=Status.BUSY).run.enforced == frozenset()


def test_a_lapsed_approval_is_asked_for_again_with_a_fresh_look() -> None:
    """A restore that was approved an hour ago must not be a dead end, nor be acted on."""
    story = Story().until("set-vhosts-back")
    story.tell(fact.ApprovalLapsed(gate=Gate.RESTORE, reason="the restore approval has expired"))
    assert story.run.granted == {Gate.FLUSH}
    assert story.run.step is not None
    assert story.run.step.name == "approve-restore"
    assert story.until(None, on=Status.ENDED).run.outcome is fact.Outcome.DONE


def test_what_was_read_on_the_way_there_is_no_evidence_for_the_way_back() -> None:
    story = Story().until("set-vhosts-back").fail()
    assert story.run.looks
    story.tell(fact.GoBackAsked(by=THIRD, reason="no"), fact.TurnedBack(plan=plan()))
    assert story.run.looks == {}


def test_somebody_asks_to_go_back_while_a_change_runs_and_it_fails_then_the_run_turns() -> None:
    story = Story().until("stop-dovecot", on=Status.BUSY).tell(fact.GoBackAsked(by=THIRD, reason="abort")).fail()
    assert isinstance(next_action(story.run, story.at), Turn)


def test_every_change_sent_or_found_done_counts_as_made_by_the_run() -> None:
    story = Story().until("stop-lmtp")
    told = [fact.StepDone(step="stop-lmtp", how=fact.How.FOUND, reason="stopped already")]
    story.tell(*told)
    assert [step.name for step in story.run.touched] == [
        *("download-packages", "download-packages-of-before", "stage-config"),
        *("set-vhosts-to-zero", "stop-lmtp"),
    ]
    assert all(isinstance(step, PlannedChange) for step in story.run.touched)


def _in(status: Status) -> Story:
    match status:
        case Status.READY:
            return Story().until("stop-lmtp")
        case Status.BUSY:
            return Story().until("stop-lmtp", on=Status.BUSY)
        case Status.DOUBT:
            return (
                Story()
                .until("stop-lmtp", on=Status.BUSY)
                .tell(fact.StepUnclear(step="stop-lmtp", reason="connection lost"))
            )
        case Status.WAITING:
            return Story().until("drain", on=Status.WAITING)
        case Status.ASKING:
            return Story().until("approve-flush", on=Status.ASKING)
        case Status.HELD:
            return Story().until("stop-lmtp").fail()
        case Status.TAKEN:
            return Story().until("drain", on=Status.WAITING).tell(fact.TakenOver(by=THIRD, reason="by hand"))
        case Status.ENDED:
            return Story().until(None, on=Status.ENDED)


def _one_of_each() -> list[Fact]:
    story = Story().until("approve-flush", on=Status.ASKING)
    asked = story.run.asked.fact if story.run.asked else None
    assert isinstance(asked, fact.ApprovalAsked)
    step = "stop-lmtp"
    return [
        story.run.request,
        asked,
        fact.StageBegan(stage="drain"),
        fact.StepStarted(step=step, attempt=1, host="backend-3", command="true"),
        fact.StepDone(step=step, how=fact.How.RAN),
        fact.StepUnclear(step=step, reason="?"),
        fact.StepNotDone(step=step, reason="?"),
        fact.StepFailed(step=step, reason="?"),
        fact.WaitBegan(step=step, until=story.at),
        fact.UsersCounted(users={"director-1": 3}),
        fact.ApprovalRefused(gate=Gate.FLUSH, by=THIRD, reason="?"),
        fact.Approved(step=asked.step, gate=asked.gate, by=SECOND, digest=asked.digest, message="1.1"),
        fact.Denied(step=asked.step, gate=asked.gate, by=SECOND, message="1.1"),
        fact.ApprovalExpired(step=asked.step, gate=asked.gate),
        fact.ApprovalRepeated(step=asked.step, gate=asked.gate, times=1, last=True),
        fact.ApprovalLapsed(gate=asked.gate, reason="?"),
        fact.RunHeld(reason="?"),
        fact.RetryChosen(by=SECOND),
        fact.SkipProposed(by=SECOND, step=step, reason="?"),
        fact.SkipAgreed(by=THIRD, step=step),
        fact.GoBackAsked(by=SECOND, reason="?"),
        fact.TurnedBack(plan=plan()),
        fact.RunEnded(outcome=fact.Outcome.DONE),
    ]


def test_a_ring_that_changed_too_often_is_forgotten_when_the_run_turns_round_or_leaves_a_step_out() -> None:
    """Else the way back, or the next step, would hold at once for a reason that people have dealt with."""
    story = Story().until("test-user-reads-mail")
    for _ in range(3):
        story.tell(fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason="vhosts is 100"))
    story.tell(fact.RunHeld(reason="set back 3 times"))
    turned = story.run
    story.tell(fact.SkipProposed(by=THIRD, step="test-user-reads-mail", reason="read by hand"))
    story.tell(fact.SkipAgreed(by=SECOND, step="test-user-reads-mail"))
    assert (turned.ring.deviations, story.run.ring.deviations) == (3, 0)
    back = going_back(turned)
    assert back is not None
    turning: tuple[Fact, ...] = (fact.GoBackAsked(by=THIRD, reason="abort"), fact.TurnedBack(plan=back))
    for number, told in enumerate(turning, turned.seq + 1):
        turned = apply(turned, Entry(run=turned.id, seq=number, at=story.at, fact=told))
    assert turned.ring.deviations == 0
