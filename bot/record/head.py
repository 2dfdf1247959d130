"""What stands first in the change record: the run in a few lines, all its approvals, its users."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from bot.core.decisions.damage import Damaged, damage_in_words
from bot.core.decisions.goback import left_there
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.run import Run
from bot.core.text.dates import stamp
from bot.core.text.duration import between
from bot.record.escape import block, cell, code, name, prose

Answer = (
    fact.Approved
    | fact.Postponed
    | fact.LongerWaitChosen
    | fact.Denied
    | fact.ApprovalRefused
    | fact.ApprovalExpired
    | fact.ApprovalLapsed
    | fact.SkipAgreed
)
"""What has its line among the approvals, too."""

_DAMAGED = "The journal of this run is damaged. Below stands what is sound."
_RELEASED = "This run was released: what was done after that is not on the record."
_IN_DOUBT = "Whether this run was released is not known."


def head(run: Run, entries: Sequence[Entry], damage: Damaged | None) -> Iterator[str]:
    """What it is the record of, who asked for it, and how it ended."""
    request = run.request
    yield f"# Change record {name(run.id)}: {prose(request.plan.title)}"
    yield ""
    if damage:
        yield f"**{_DAMAGED if damage.flaw else _RELEASED if damage.release else _IN_DOUBT}**"
        yield ""
        yield from block(damage_in_words(damage))
        yield ""
    yield f"- Backend: {request.target.backend.name} ({request.target.backend.ip}), ring {request.target.ring.name}"
    yield f"- Procedure: {request.procedure}; asked for as: {code(request.text)}"
    yield f"- Asked for by: {request.requester} in channel {request.channel}, {stamp(run.began)}"
    if request.reason:
        yield f"- Reason: {code(request.reason)}"
    if request.ticket:
        yield f"- Ticket: {code(request.ticket)}"
    yield f"- Plan: {request.plan.digest}"
    yield from (f"- Brings: {code(line)}" for line in request.plan.brings)
    for left in request.plan.left_out:
        yield f"- Not part of this run: {name(left.step)}, as {prose(left.because)}"
    ended = f"{run.outcome}, {stamp(run.at)}, after {between(run.began, run.at)}" if run.outcome else "not yet"
    yield f"- Ended: {ended}" + (f" ({code(run.reason)})" if run.outcome and run.reason else "")
    if run.ring.not_back and run.ring.not_back_at:
        seen = f"{code(run.ring.not_back)}, {stamp(run.ring.not_back_at)}"
        yield f"- **Not seen to be back**: the check of that was skipped; last seen: {seen}"
    if damage and (release := damage.release):
        remark = f" ({release.remark})" if release.remark else ""
        yield f"- Released: by {release.by}, {stamp(release.at)}{remark}: {code(release.reason)}"
    if there := left_there(run):
        yield f"- Left there: {code(there)}"
    yield f"- Facts: {len(entries)}"


def approvals(entries: Sequence[Entry]) -> Iterator[str]:
    """Who answered the gates, and who agreed to a skip."""
    yield ""
    yield "## Approvals"
    yield ""
    answers = [(entry.at, entry.fact) for entry in entries if isinstance(entry.fact, Answer)]
    yield from [f"- {stamp(at)}: {approval(answer)}" for at, answer in answers] or ["None."]


def approval(answer: Answer) -> str:
    """One of them, in a line."""
    match answer:
        case fact.Approved(gate=gate, by=by, digest=digest, message=""):
            return f"{gate} approved by {by}, by asking to go back (digest {digest[:16]})"
        case fact.Approved(gate=gate, by=by, digest=digest, message=message):
            return f"{gate} approved by {by} (message {message}, digest {digest[:16]})"
        case fact.Postponed(gate=gate, by=by, reason=reason, message=message):
            return f"{gate}: not now, said {by} (message {message}): {code(reason)}"
        case fact.LongerWaitChosen(gate=gate, by=by, reason=reason, message=message):
            why = f": {code(reason)}" if reason else ""
            return f"{gate}: wait longer, said {by} (message {message}){why}"
        case fact.Denied(gate=gate, by=by, message=message):
            return f"{gate} denied by {by} (message {message})"
        case fact.ApprovalRefused(gate=gate, by=by, reason=reason):
            return f"{gate}: an attempt by {by} did not count: {code(reason)}"
        case fact.ApprovalExpired(gate=gate):
            return f"{gate} expired, nobody answered"
        case fact.ApprovalLapsed(gate=gate, reason=reason):
            return f"{gate} lapsed, and has to be asked for again: {code(reason)}"
        case fact.SkipAgreed(step=step, by=by):
            return f"skipping {step} agreed by {by}"
        case _:
            assert_never(answer)


def counts(entries: Sequence[Entry]) -> Iterator[str]:
    """How many users were mapped to the backend when, in a table."""
    counted = [(entry.at, entry.fact.users) for entry in entries if isinstance(entry.fact, fact.UsersCounted)]
    if not counted:
        return
    directors = sorted({director for _, users in counted for director in users})
    yield ""
    yield "## Users mapped to the backend"
    yield ""
    yield "| Time | " + " | ".join(map(cell, directors)) + " |"
    yield "|---|" + "---|" * len(directors)
    for at, users in counted:
        yield f"| {stamp(at)} | " + " | ".join(str(users.get(director, "?")) for director in directors) + " |"
