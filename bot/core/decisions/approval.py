"""Who may approve, who did, and whether it is enough. Ids only; what Slack says of a person comes in as a value."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import assert_never

from bot.core.decisions.brief import brief, mapped, moved, not_counted, order_named
from bot.core.decisions.guards import moved_before
from bot.core.plans.plan import digest
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.changed import stops_it, users_wait_until
from bot.core.runs.events import ApprovalAsked, Approved, Entry, Grant, Seen
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.text.amount import plural
from bot.core.text.dates import stamp
from bot.errors import Refused


@dataclass(frozen=True, kw_only=True)
class Person:
    """What is known of somebody who clicked: why not at all (`barred`), and what the settings allow them.

    `ask_unknown`, `approve_unknown`: why it is not known whether they have that right, which they then do not have.
    `unsure`, `approve_unsure`: something of that, or the latter, may be known in a moment, as Slack does not answer.
    """

    id: str
    may_ask: bool
    may_approve: bool
    barred: str = ""
    ask_unknown: str = ""
    approve_unknown: str = ""
    unsure: bool = False
    approve_unsure: bool = False

    @property
    def unknown(self) -> str:
        """Why it is not known whether they may ask or approve, empty where both are known."""
        return "; ".join(dict.fromkeys(filter(None, (self.ask_unknown, self.approve_unknown))))

    @property
    def may_yet_approve(self) -> bool:
        """Whether they may not approve only as it cannot be known now."""
        return not self.may_approve and (self.unsure if self.barred else self.approve_unsure)

    @property
    def no_asking(self) -> str:
        """Why they may not ask for runs, empty where they may."""
        return self.barred or ("" if self.may_ask else self.ask_unknown or _NO_REQUESTER)

    @property
    def no_approving(self) -> str:
        """Why they may not approve, empty where they may."""
        return self.barred or ("" if self.may_approve else self.approve_unknown or _NO_APPROVER)

    @property
    def no_steering(self) -> str:
        """Why they may neither ask for runs nor approve, empty where they may do one of these."""
        return self.barred or ("" if self.may_ask or self.may_approve else self.unknown or _NEITHER)


_NO_REQUESTER = "not among those who may ask for runs"
_NO_APPROVER = "not one of the approvers"
_NEITHER = "neither among those who may ask for runs nor among the approvers"


def allow(against: str) -> None:
    """Raises Refused, in words to whoever may not do it, where something is against it."""
    if against:
        you_are = "you are " if against in {_NO_REQUESTER, _NO_APPROVER, _NEITHER} else ""
        raise Refused(f"Not done: {you_are}{against}.")


def may_steer(run: Run, person: Person) -> None:
    """Raises Refused, in words to them, where this person may not steer the run."""
    allow(_no_steering(run, person))


def _no_steering(run: Run, person: Person) -> str:
    return person.barred if person.id == run.request.requester else person.no_steering


def asked_now(run: Run, ask: int, mark: str = "") -> ApprovalAsked:
    """The open question that a click is about; raises Refused for one that is closed, or not the open one."""
    asked = run.asked if run.status is Status.ASKING else None
    if asked is not None and asked.seq == ask:
        as_marked(asked, mark)
        assert isinstance(asked.fact, ApprovalAsked)
        return asked.fact
    happened = _closed(run.answers[ask], run) if ask in run.answers else f"the run is {run.status}"
    if asked is None:
        raise Refused(f"This question is closed: {happened}.")
    raise Refused(f"These buttons are of an older question: {happened}. The open one is further down in the thread.")


def as_marked(entry: Entry | None, mark: str) -> None:
    """Raises Refused for a button of another fact, which had this number before; one without a mark is of any."""
    if entry and mark not in {"", entry.mark}:
        raise Refused(
            "This button is of what the journal does not have any more, as an older copy of it was put back. What is"
            " asked now is further down in the thread."
        )


_NoEndOfIt = (
    fact.Report
    | fact.StepFailed
    | fact.ApprovalAsked
    | fact.ApprovalRepeated
    | fact.RetryChosen
    | fact.SkipProposed
    | fact.SkipAgreed
    | fact.OthersCounted
    | fact.RunEnded
)
"""Facts that never close a gate's question."""


def _closed(entry: Entry, run: Run) -> str:
    """What closed a question, who and when: the run may have gone on, and turned round, since."""
    at = stamp(entry.at)
    came = entry.fact
    if isinstance(came, _NoEndOfIt):
        return f"the run went on, {at}"
    match came:
        case fact.Approved(by=by, gate=gate):
            return f"<@{by}> was first and gave the {gate} approval, {at}{_since_given(gate, run)}"
        case fact.Postponed(by=by):
            return f"<@{by}> was first and said not now, {at}"
        case fact.LongerWaitChosen(by=by):
            over = run.turning or run.plan.back or run.status in {Status.TAKEN, Status.ENDED}
            anew = "" if over else "; it is asked anew afterwards"
            return f"<@{by}> was first and chose to wait longer, {at}{anew}"
        case fact.GoBackAsked(by=by):
            return f"<@{by}> was first and asked to go back, {at}"
        case fact.TakenOver(by=by):
            return f"<@{by}> has taken over by hand, {at}"
        case fact.ApprovalExpired():
            return f"it has expired, {at}"
        case fact.Denied(by=by):
            return f"<@{by}> was first and denied it, {at}"
        case fact.RunHeld():
            return f"the run held, {at}"
        case _:
            assert_never(came)


def _since_given(gate: Gate, run: Run) -> str:
    if gate in run.granted:
        return ""
    if run.plan.back and not (run.lapsed and run.lapsed.gate is gate):
        return ", which counts no more: the run has turned round since"
    return ", which has lapsed since"


def approval_asked(
    run: Run,
    gate: Gate,
    now: datetime,
    evidence: tuple[str, ...],
    verified: Mapping[str, str],
    *,
    seen: Sequence[Seen] = (),
    not_so: Mapping[str, str] = MappingProxyType({}),
    requester: Person | None = None,
) -> ApprovalAsked:
    """The question that puts a gate to the approvers; `seen`: all that was just read for it; `not_so`: see brief."""
    decides = brief(run, gate, seen, verified, now, not_so=not_so)
    alarms = (*filter(None, (requester_left(run, gate, requester),)), *decides.alarms)
    step = run.step
    assert step is not None
    own = run.plan.approval(gate)
    open_for, repeats = (own.length, own.repeats) if own else (timedelta(0), ())
    return ApprovalAsked(
        step=step.name,
        gate=gate,
        digest=digest_for(run, gate, (*evidence, *alarms, *decides.lines), verified),
        evidence=evidence,
        not_by=run.not_by,
        expires=now + open_for,
        repeats=tuple(now + after for after in repeats if after < open_for),
        verified=verified,
        word_of=(run.back_asked_by or "") if run.approved_by_asking else "",
        alarms=alarms,
        brief=decides.lines,
    )


def digest_for(run: Run, gate: Gate, evidence: tuple[str, ...], verified: Mapping[str, str]) -> str:
    """What an approval here is for: plan, place, target, configuration and what was observed, as one digest."""
    assert run.step is not None
    return digest(
        {
            "run": run.id,
            "gate": gate,
            "step": run.step.name,
            "plan": run.plan.digest,
            "target": run.request.target.model_dump(mode="json"),
            "evidence": evidence,
            "verified": dict(verified),
            "observed": dict(run.observed),
        }
    )


def answered_already(asked: ApprovalAsked) -> tuple[Approved, ...]:
    """The approval of whoever gave it by asking to go back, to be written with the question."""
    if not asked.word_of:
        return ()
    return (Approved(step=asked.step, gate=asked.gate, by=asked.word_of, digest=asked.digest, message=""),)


def felt(run: Run, seen: Sequence[Seen]) -> tuple[str, ...]:
    """In which order the backend is taken down, and what its users feel of it; no more than was measured.

    `seen`: what was read for the question.
    """
    readings = [(one.probe, one.reading) for one in seen if one.reading is not None]
    name, users = run.request.target.backend.name, mapped(readings)
    stop = stops_it(run.plan)
    if stop is None or run.plan.back:
        return ()
    order = order_named(run, stop)
    if not users:
        return (f"{order}: {not_counted(run) if users is None else f'no user is mapped to {name}'}",)
    if moved_before(run.plan, stop):
        text = f"{order}: {moved(users)} while {name} still serves; meanwhile their logins wait at the directors,"
        waits = f"{math.ceil(users / 100) * 2} s at least (100 users at a time, 2 s for each 100)"
        return (f"{text} {waits}; one that the backend is just answering may be cut, and is let in when tried again",)
    text = f"{order}: {name} stops with {plural(users, 'user')} mapped to it, and about as many fail a login"
    why = "one that meets a stopped backend is tried there again for 3 s, and sent nowhere else"
    return (f"{text} until {users_wait_until(run.plan, stop)}: {why} (18 of 18, as measured)",)


def requester_left(run: Run, gate: Gate, requester: Person | None) -> str:
    """Why whoever asked for the run stands for it no more, empty when they do; who cannot be looked up still does.

    Two have to until users are disturbed. From then on nobody's leaving keeps a backend out.
    """
    begun = run.plan.back or run.disturbed or run.may_have_disturbed
    if gate is not Gate.FLUSH or begun or requester is None or requester.unsure or not requester.barred:
        return ""
    return f"whoever asked for this run stands for it no more, as {requester.barred}: go back, and ask for a new run"


def why_not_by(run: Run, asked: ApprovalAsked, person: Person, now: datetime, requester: Person | None = None) -> str:
    """Why this person's approval does not count, empty when it does; `requester`: of the run, as Slack says now."""
    if person.id in {*asked.not_by, *run.not_by} and not person.barred:
        what = "to go back" if run.plan.back and person.id == run.back_asked_by else "for a run"
        return f"whoever asked {what} cannot approve it"
    if against := person.no_approving:
        return against
    if now >= asked.expires:
        return "the question has expired"
    return requester_left(run, asked.gate, requester)


def waits_for(run: Run, person: Person) -> bool:
    """Whether the run goes on only once somebody says something, and this person's word would count."""
    match run.status:
        case Status.ASKING:
            asked = run.asked.fact if run.asked else None
            not_by = asked.not_by if isinstance(asked, ApprovalAsked) else ()
            return not person.no_approving and person.id not in {*not_by, *run.not_by}
        case Status.HELD:
            return run.waits_for_people and not person.no_steering
        case Status.TAKEN:
            return run.taken_by == person.id and not person.barred
        case Status.READY | Status.BUSY | Status.DOUBT | Status.WAITING | Status.ENDED:
            return False
        case _:
            assert_never(run.status)


def still_good(run: Run, grant: Grant, person: Person, now: datetime, requester: Person | None = None) -> str:
    """Why an approval that was given may not be acted on any more, empty when it may; `requester`: of the run."""
    if person.may_yet_approve:
        return f"it cannot be looked up whether <@{grant.by}>, who approved, still may: {person.no_approving}"
    if person.no_approving:
        return f"<@{grant.by}>, who approved, may not approve any more: {person.no_approving}"
    if now >= grant.expires:
        given = stamp(grant.given)
        return f"the {grant.gate} approval of {given} has expired before all of it was acted on"
    if grant.by in run.not_by:
        return f"<@{grant.by}> may not approve this run"
    return requester_left(run, grant.gate, requester)


def still_proposes(run: Run, proposer: Person | None) -> str:
    """Why the word of whoever proposed a skip counts no more, empty when it does; who cannot be looked up still may."""
    if proposer is None or proposer.unsure or not (against := _no_steering(run, proposer)):
        return ""
    return f"<@{proposer.id}>, who proposed this, may not steer runs any more: {against}"
