"""What a run remembers of what people are asked, and say: approvals, and what is done about a run that holds.

Nothing here decides; a fact that cannot be is Illegal.
"""

from __future__ import annotations

from bot.core.plans.effects import Effect, takes_back
from bot.core.plans.plan import PlannedApproval, PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Grant
from bot.core.runs.remember import back_to, behind_the_restore, calm, keeps_up, named_step, next_step, seen_back
from bot.core.runs.run import Run, replace
from bot.errors import Illegal


def approval_asked(run: Run, new: fact.ApprovalAsked, entry: Entry) -> Run:
    named_step(run, new.step)
    return replace(run, asked=entry, repeated=0)


def repeated(run: Run, new: fact.ApprovalRepeated) -> Run:
    return replace(run, repeated=new.times)


def approved(run: Run, new: fact.Approved, entry: Entry) -> Run:
    asked = run.asked.fact if run.asked else None
    same = isinstance(asked, fact.ApprovalAsked) and (asked.step, asked.gate, asked.digest) == (
        new.step,
        new.gate,
        new.digest,
    )
    if not isinstance(asked, fact.ApprovalAsked) or not same:
        raise Illegal(f"run {run.id}, fact {entry.seq}: an approval of something that was not asked")
    if new.by in asked.not_by:
        raise Illegal(f"run {run.id}, fact {entry.seq}: {new.by} may not approve this run")
    assert run.asked is not None
    grant = Grant(
        gate=new.gate,
        by=new.by,
        digest=new.digest,
        expires=entry.at + (asked.expires - run.asked.at),
        given=entry.at,
        evidence=asked.evidence,
        users=max(run.ring.users.values(), default=None) if _counted(run, new.gate) else None,
    )
    others = tuple(one for one in run.grants if one.gate is not grant.gate)
    # A question at a change reads only what is still ahead of it: what an earlier one has read is kept.
    verified = {**run.verified, **asked.verified}
    given = replace(
        run,
        grants=(*others, grant),
        approvals=(*run.approvals, entry),
        judged_since=entry.seq,
        lapsed=None,
        verified=verified,
    )
    return next_step(given) if isinstance(run.step, PlannedApproval) else replace(given, asked=None, failed=None)


def _counted(run: Run, gate: Gate) -> bool:
    """Whether what the question shows was seen; of what was skipped, nobody knows."""
    shows = run.plan.approval(gate)
    return shows is not None and not any(step.name in shows.evidence for step in run.skipped)


def lapsed(run: Run, new: fact.ApprovalLapsed, entry: Entry) -> Run:
    gate = new.gate
    lapsed = next((grant for grant in run.grants if grant.gate is gate), None)
    if lapsed is None:
        raise Illegal(f"run {run.id}, fact {entry.seq}: there is no {gate} approval that could lapse")
    kept = tuple(grant for grant in run.grants if grant is not lapsed)
    if new.at:
        named_step(run, new.at)
        return replace(run, grants=kept, lapsed=lapsed)
    # As an older version of the bot had it: back to the gate.
    step = next(step for step in run.plan.steps if isinstance(step, PlannedApproval) and step.gate is gate)
    position, stage = run.plan.steps.index(step), run.plan.stage_of(step)
    return replace(next_step(run), position=position, grants=kept, stage_begun=stage.name, read_at={})


def denied(run: Run) -> Run:
    return replace(run, turning=not run.plan.back, asked=None)


def expired(run: Run, new: fact.ApprovalExpired, entry: Entry) -> Run:
    return _unanswered(run, entry, f"nobody answered the {new.gate} approval in time")


def postponed(run: Run, new: fact.Postponed, entry: Entry) -> Run:
    return _unanswered(run, entry, f"not now, was said to the {new.gate} approval: {new.reason}")


def longer_wait(run: Run, new: fact.LongerWaitChosen, entry: Entry) -> Run:
    again = back_to(run, new.back_to)
    return replace(again, asked=None, longer_waits=run.longer_waits + 1, judged_since=entry.seq)


def _unanswered(run: Run, entry: Entry, reason: str) -> Run:
    assert run.step is not None
    return replace(run, failed=run.step.name, held=entry.seq, reason=reason, asked=None, judged_since=entry.seq)


def retry(run: Run, entry: Entry) -> Run:
    again = replace(run, failed=None, held=0, reason="", attempt=0, skip=None, until=None, judged_since=entry.seq)
    return calm(again)


def skip_proposed(run: Run, entry: Entry) -> Run:
    return replace(run, skip=entry)


def skip_agreed(run: Run, new: fact.SkipAgreed, entry: Entry) -> Run:
    step = named_step(run, new.step)
    if run.skip is None or not isinstance(run.skip.fact, fact.SkipProposed):
        raise Illegal(f"run {run.id}, fact {entry.seq}: nobody proposed to skip {step.name}")
    text = f"{step.name} was skipped, by <@{run.skip.fact.by}> and <@{new.by}>: {run.skip.fact.reason}"
    if isinstance(step, PlannedChange):  # by hand, as those who skip it say
        run = replace(run, ring=run.ring.takes_back(takes_back(step.action.command.text)))
        run = keeps_up(run, step) if Effect.FLUSH in step.does else run
    if behind_the_restore(run) and not seen_back(run):
        # Nobody looks any more: whoever reads how the run ended has to know what was seen last.
        run = replace(run, ring=run.ring.not_seen_back(run.reason, run.held_at.at if run.held_at else run.since))
    return next_step(calm(replace(run, looks={**run.looks, step.name: text}, judged_since=entry.seq)))


def go_back_asked(run: Run, new: fact.GoBackAsked, entry: Entry) -> Run:
    if run.plan.back:
        raise Illegal(f"run {run.id}, fact {entry.seq}: it is going back already")
    turning = replace(run, turning=True, back_asked_by=new.by, asked=None, until=None, held=0)
    approval = entry if new.approves else None
    return replace(turning, start_first=new.start_first, back_approval=approval)


def turned_back(run: Run, new: fact.TurnedBack) -> Run:
    given = (*run.grants, *((run.lapsed,) if run.lapsed else ()))
    kept = tuple(grant for grant in given if grant.gate is Gate.FLUSH)  # for what the watch makes again, and no more
    # What was read on the way there is no evidence for the way back.
    turned = replace(next_step(run), plan=new.plan, position=0, turning=False, stage_begun=None, must_hold=None)
    seen = run.seen_done - {step.name for step in new.plan.steps}
    return calm(
        replace(turned, grants=kept, lapsed=None, looks={}, read_at={}, seen_done=seen, ring=run.ring.turned_back())
    )


def taken(run: Run, new: fact.TakenOver, entry: Entry) -> Run:
    taken = replace(run, taken=entry, reason=new.reason, asked=None, until=None, skip=None, read_at={})
    return replace(taken, turning=False, must_hold=None)
