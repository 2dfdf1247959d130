"""The change record of one run as Markdown: made from its facts alone, so it can be made again at any time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import assert_never

from bot.core.decisions.damage import Damaged
from bot.core.plans.plan import PlannedApproval, PlannedChange, PlannedCheck, PlannedStep, PlannedWait
from bot.core.runs import events as fact
from bot.core.runs.changed import never_began, never_set_back
from bot.core.runs.events import Entry
from bot.core.runs.fold import fold, follow
from bot.core.runs.run import Run
from bot.core.text.dates import stamp
from bot.core.text.duration import length
from bot.errors import Refused
from bot.record.escape import block, code, name, prose
from bot.record.head import Answer, approval, approvals, counts, head

_OfSteps = (
    fact.RunRequested
    | fact.StageBegan
    | fact.StepStarted
    | fact.StepDone
    | fact.StepFailed
    | fact.StepNotDone
    | fact.UsersCameBack
    | fact.StepUnclear
)
_OfTheRun = (
    fact.WaitBegan
    | fact.WaitGoesOn
    | fact.ApprovalAsked
    | fact.ApprovalRepeated
    | fact.RunHeld
    | fact.TurnedBack
    | fact.RunEnded
)
_OfTheHosts = (
    fact.HostsProved
    | fact.RingDeviated
    | fact.OthersCounted
    | fact.MonitorSaysUp
    | fact.SeenOut
    | fact.BackendRebooted
    | fact.RingSetBack
)
_OfPeople = fact.RetryChosen | fact.SkipProposed | fact.GoBackAsked | fact.TakenOver


def markdown(entries: Sequence[Entry], *, damage: Damaged | None = None) -> str:
    """The record; `damage` is shown at its head when the journal is damaged behind these facts, or it was released."""
    run = fold(entries)
    if run is None:
        raise Refused("There is nothing to make a record of.")
    lines = [*head(run, entries, damage), *approvals(entries), *counts(entries), "", "## What happened", ""]
    before: Run | None = None
    for entry in entries:
        lines += _section(entry, before or run)
        before = follow(before, entry)
    return "\n".join(lines) + "\n"


def _section(entry: Entry, run: Run) -> Iterator[str]:
    """What one fact says, read with the run as it was right before it."""
    lines = list(_lines(entry, run))
    if lines:
        yield f"### {entry.seq}. {stamp(entry.at)} {lines[0]}"
        yield ""
        yield from lines[1:]
        yield ""


def _lines(entry: Entry, run: Run) -> Iterator[str]:
    came = entry.fact
    if isinstance(came, _OfSteps):
        yield from _of_steps(came, run)
    elif isinstance(came, _OfTheRun):
        yield from _of_the_run(came, run)
    elif isinstance(came, _OfTheHosts):
        yield from _of_the_hosts(came)
    elif isinstance(came, _OfPeople):
        yield from _of_people(came)
    elif isinstance(came, Answer):
        yield approval(came)
    elif isinstance(came, fact.SettingsChanged):
        yield from _settings(came)
    elif not isinstance(came, fact.UsersCounted):  # those have a table of their own
        assert_never(came)


def _of_steps(came: _OfSteps, run: Run) -> Iterator[str]:
    match came:
        case fact.RunRequested():
            yield f"{prose(run.request.plan.title)} was asked for"
        case fact.StageBegan(stage=stage):
            yield f"Stage {stage} began"
        case fact.StepStarted(step=step, attempt=attempt, host=host, command=command, looked=looked, word=word):
            yield f"{step} started on {name(host)}, attempt {attempt}"
            yield code(command)
            if word:
                yield code(word)
            yield from _commands(looked)
        case fact.StepDone(step=step, how=how, ran=ran, reason=reason, attachment=attachment):
            yield f"{step} done ({how})"
            yield f"Read back: {code(reason)}"
            yield from _commands(ran)
            if attachment:
                yield from block(attachment)
        case fact.StepFailed(step=step, reason=reason, ran=ran) | fact.StepNotDone(step=step, reason=reason, ran=ran):
            failed = isinstance(came, fact.StepFailed)
            yield f"{step} {'failed' if failed else 'is not done, and may be repeated'}"
            yield code(reason)
            never = [one for one in ran if never_began(run, one)]
            yield from _commands([one for one in ran if one not in never])
            yield from _not_sent(never)
        case fact.UsersCameBack(back_to=step, reason=reason, ran=ran):
            yield f"Users came back before the stop, and are moved again, from {step} on"
            yield code(reason)
            yield from _commands(ran)
        case fact.StepUnclear(step=step, reason=reason, ran=ran):
            yield f"{step} in doubt"
            yield code(reason)
            yield from _commands(ran)
        case _:
            assert_never(came)


def _of_the_run(came: _OfTheRun, run: Run) -> Iterator[str]:
    match came:
        case fact.WaitBegan(step=step, until=until):
            yield f"{step} until {stamp(until)}"
        case fact.WaitGoesOn(step=step, until=until, reason=reason):
            yield f"{step} goes on, until {stamp(until)}"
            yield code(reason)
        case fact.ApprovalAsked() as asked:
            given = f"was given by {asked.word_of}, who asked to go back"
            how = given if asked.word_of else f"was asked for, until {stamp(asked.expires)}"
            yield f"The {asked.gate} approval {how}"
            yield from (f"- Alarm: {code(line)}" for line in asked.alarms)
            yield from (f"- Shown: {code(line)}" for line in asked.brief)
            yield from (f"- Evidence: {code(line)}" for line in asked.evidence)
            covered = (step for step in run.covered if isinstance(step, PlannedChange))
            yield from (f"- Covers: {prose(step.says)}: {code(step.action.command.text)}" for step in covered)
            yield f"- For digest {asked.digest}; not by {', '.join(asked.not_by)}"
        case fact.ApprovalRepeated(gate=gate, times=times):
            yield f"The {gate} approval was asked for again, time {times}"
        case fact.RunHeld(reason=reason):
            yield "The run holds"
            yield code(reason)
        case fact.TurnedBack(plan=plan):
            yield f"The run turned round: {prose(plan.title)}"
            yield from (f"- {prose(step.says)}: {code(_text(step))}" for step in plan.steps)
            yield from (f"- Not undone: {name(left.step)}, as {prose(left.because)}" for left in plan.left_out)
        case fact.RunEnded(outcome=outcome, reason=reason):
            yield f"The run ended: {outcome}"
            if reason:
                yield code(reason)
        case _:
            assert_never(came)


def _of_the_hosts(came: _OfTheHosts) -> Iterator[str]:
    """What the hosts and the watch had to say."""
    match came:
        case fact.HostsProved(backend=backend, by=by, directors=directors):
            yield "Every host proved to be the one that the settings mean"
            yield f"- {name(backend)}: {code(by)}; machine-id {came.machine_id}, boot {came.boot_id}"
            yield from (f"- {name(director)} is {code(address)}" for director, address in directors.items())
            lock = code(came.lock)
            yield f"- Every host refuses a change that comes late; the backend also while another one runs ({lock})"
        case fact.RingDeviated(step=step, host=host, reason=reason, helpless=helpless):
            yield f"{name(host)} says otherwise than {step} left it"
            if helpless:
                yield f"Not set back: {code(helpless)}"
            yield f"Seen: {code(reason)}"
        case fact.OthersCounted(usable=usable, needed=needed, reason=reason):
            yield f"Other backends that can be used: {usable}; the ring needs {needed}"
            yield code(reason)
        case fact.MonitorSaysUp(host=host, reason=reason):
            yield f"A health monitor says up on {name(host)}, which harms nobody"
            yield code(reason)
        case fact.SeenOut(reason=reason):
            yield "The backend was seen out, as whoever has taken over has made it"
            yield code(reason)
        case fact.BackendRebooted(host=host, reason=reason, ran=ran):
            yield f"{name(host)} was booted"
            yield code(reason)
            yield from _commands(ran)
        case fact.RingSetBack(step=step, holds=holds, reason=reason, ran=ran):
            yield f"{step} was {'' if holds else 'not '}seen done again"
            yield code(reason)
            never = [one for one in ran if never_set_back(one)]
            yield from _commands([one for one in ran if one not in never])
            yield from _not_sent(never)
        case _:
            assert_never(came)


def _settings(changed: fact.SettingsChanged) -> Iterator[str]:
    """What differs from the settings that the run was asked for with."""
    accesses = {**changed.directors, **changed.backends}
    yield f"The settings are {'not' if accesses or changed.stays else 'again'} as when the run was asked for"
    for host, access in accesses.items():
        sudo = ", with sudo" if access.sudo else ""
        machine = f", machine-id {access.machine_id}" if access.machine_id else ""
        yield f"- From here on {name(host)} is reached by {code(f'ssh {access.ssh}')}{sudo}{machine}"
    yield from (f"- Stays for this run as it was; in the settings of now {prose(one)}" for one in changed.stays)


def _of_people(came: _OfPeople) -> Iterator[str]:
    """What people decided."""
    match came:
        case fact.RetryChosen(by=by):
            yield f"{by} chose to retry"
        case fact.SkipProposed(by=by, step=step, reason=reason):
            yield f"{by} proposes to skip {step}"
            yield code(reason)
        case fact.GoBackAsked(by=by, reason=reason):
            yield f"{by} asked to go back"
            yield code(reason)
        case fact.TakenOver(by=by, reason=reason):
            yield f"{by} has taken over by hand"
            yield code(reason)
        case _:
            assert_never(came)


def _text(step: PlannedStep) -> str:
    match step:
        case PlannedChange():
            return step.action.command.text
        case PlannedCheck() | PlannedWait() | PlannedApproval():
            return step.kind
        case _:
            assert_never(step)


def _not_sent(never: Sequence[fact.Ran]) -> Iterator[str]:
    for one in never:
        yield f"- not sent: {code(one.command)}"
        if one.output:
            yield from block(one.output)


def _commands(ran: Sequence[fact.Ran]) -> Iterator[str]:
    for one in ran:
        status = "end not heard" if one.exit_status is None else f"exit {one.exit_status}"
        mark = "**" if one.changes else ""
        yield f"- {mark}{name(one.host)}{mark}: {code(one.command)}: {status}, {length(one.took)}"
        if one.output:
            yield from block(one.output)
