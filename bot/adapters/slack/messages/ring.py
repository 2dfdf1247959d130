"""What the watch and the hosts have to say: the ring, the other backends, a boot, who has taken over. Pure."""

from __future__ import annotations

from bot.adapters.slack.messages.blocks import Json, Message, MessageBuilder, button, dialog
from bot.adapters.slack.messages.markup import escape, inline, prose, spoken
from bot.adapters.slack.messages.text import answers, callers, file_name, now, who
from bot.core.hosts.inventory import Access
from bot.core.plans.effects import Effect, effects
from bot.core.plans.plan import PlannedApproval, PlannedCheck
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.changed import in_doubt, in_effect, last_in_effect, never_set_back
from bot.core.runs.events import Entry, Ran
from bot.core.runs.ring_state import DEVIATIONS
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.core.text.dates import clock


def proof(facts: fact.HostsProved) -> str:
    """Who every host proved to be, in a line."""
    named = ", ".join(f"{escape(name)} is {inline(address)}" for name, address in sorted(facts.directors.items()))
    return (
        f"*Every host is the one that the settings mean*: {escape(facts.backend)} proves it by {escape(facts.by)}; each"
        f" director says which member of the ring it is: {named}"
    )


def proved(entry: Entry, facts: fact.HostsProved) -> Message:
    """That line by itself, where there are no checks that it would stand with."""
    builder = MessageBuilder(f"{spoken(proof(facts))}, {clock(entry.at)}.")
    builder.paragraph(f":white_check_mark: {proof(facts)} · {now(entry.at)}")
    return builder.message(name=file_name(entry, "proved"))


def deviated(entry: Entry, seen: fact.RingDeviated, run: Run, approvers: str) -> Message:
    """The ring was changed by somebody else; where it is not set back, whoever can act is called."""
    host, at = escape(seen.host), now(entry.at)
    then = "it is not set back" if seen.helpless else "it is set back" if seen.sends else "nothing can be sent there"
    call = f"{approvers} " if seen.helpless else ""
    builder = MessageBuilder(f"{call}{host} says otherwise than this run left it, {clock(entry.at)}; {then}.")
    builder.paragraph(
        f":rotating_light: *The ring was changed by somebody else*, seen on {inline(seen.host)}, {at}"
        f"{call and f' · {approvers}'}"
    )
    if seen.helpless:
        builder.paragraph(f"*Not set back* {escape(seen.helpless)}.")
    else:
        then = "It is set back now" if seen.sends else "Nothing can be sent there now; it is tried again"
        builder.paragraph(f"{then}. {_times(run)}.")
    if seen.reason not in seen.helpless:
        builder.quote("*Seen*", seen.reason)
    return builder.message(name=file_name(entry, "ring"))


def _times(run: Run) -> str:
    """How often so far, and what comes of it."""
    times, called = f"Time {run.ring.times}", run.ring.times_reported >= DEVIATIONS
    if run.status is Status.HELD:
        return f"{times}; the run holds already" if called else f"{times}; at time {DEVIATIONS} it holds for this, too"
    return (
        f"{times}; the run holds as soon as it may"
        if run.ring.times > DEVIATIONS
        else f"{times}; at time {DEVIATIONS} the run holds"
    )


def set_back(entry: Entry, came: fact.RingSetBack) -> MessageBuilder:
    """What came of it; its commands are written by the caller."""
    sent = any(one.changes for one in came.ran)
    title = "Not set back" if not came.holds else "Set back" if sent else "As this run left it again"
    mark = ":white_check_mark:" if came.holds else ":x:"
    moved = bool(came.seen) and all(one.reading and one.reading.get("users") == 0 for one in came.seen)
    flushed = sent and Effect.FLUSH in effects(came.ran[0].command) and not came.ran[0].exit_status
    if not came.holds and flushed and not moved:
        title, mark = "Not all users are seen moved yet", ":hourglass_flowing_sand:"  # many take minutes
    builder = MessageBuilder(f"{title}: {prose(came.reason, most=500)}, {clock(entry.at)}.")
    builder.paragraph(f"{mark} *{title}*, {now(entry.at)}")
    builder.quote("*Seen*", came.reason)
    return builder


def write_not_sent(builder: MessageBuilder, commands: tuple[Ran, ...]) -> tuple[Ran, ...]:
    """What certainly never began where the ring was to be set back; returns the others."""
    never = [one for one in commands if never_set_back(one)]
    for one in never:
        builder.code(f"Not sent to {escape(one.host)}", f"$ {one.command}\n{one.output}".rstrip())
    return tuple(one for one in commands if one not in never)


def others(entry: Entry, counted: fact.OthersCounted, run: Run, approvers: str) -> Message:
    """The other backends: people are called when they get few, with what is ready to go back."""
    at, name = now(entry.at), escape(run.request.target.backend.name)
    if counted.usable >= counted.needed:
        can = f"{_others(counted.usable)} can be used again"
        builder = MessageBuilder(f"{can}, {clock(entry.at)}.")
        builder.paragraph(f":white_check_mark: *{can}*, {at}")
        builder.quote("*Seen*", counted.reason)
        return builder.message(name=file_name(entry, "others"))
    everybody = f"{callers(run)} {approvers}"
    few = "No other backend can" if not counted.usable else f"Only {_others(counted.usable)} can"
    builder = MessageBuilder(
        f"{everybody} {few} be used while {name} is out; the ring needs {counted.needed}. {ready(run)}"
    )
    builder.paragraph(
        f":rotating_light: *{few} be used while {name} is out* (the ring needs {counted.needed}), {at} · {everybody}"
    )
    builder.quote("*Seen*", counted.reason)
    builder.paragraph(f"*Ready to go back* {escape(ready(run))}")
    return builder.message(name=file_name(entry, "others"), broadcast=True)


def _others(usable: int) -> str:
    return "1 other backend" if usable == 1 else f"{usable} other backends"


def ready(run: Run) -> str:
    """How users can be given this backend soonest, from where the run stands."""
    name, step = run.request.target.backend.name, run.step
    at = f"“{step.says if step else 'its end'}”"
    held = f" The run holds at {at}: that comes first." if run.status is Status.HELD else ""
    lapsed = run.lapsed is not None and run.lapsed.gate is Gate.RESTORE  # it is asked for again
    if run.covering and run.covering.gate is Gate.RESTORE and not lapsed:
        return held.strip() or f"{name} is about to be put back."
    if lapsed or (isinstance(step, PlannedApproval) and step.gate is Gate.RESTORE):
        proved = not any(isinstance(one, PlannedCheck) for one in run.skipped)
        verified = f"{name} was verified" if proved else f"a check of {name} was skipped"
        how = "Retry asks for the restore approval" if held else "approve the restore, and it gets users if it serves"
        return f"{verified}: {how}."
    back = f"the run is on its way back.{held}"
    if not run.may_have_disturbed:
        then = back if run.plan.back else "go back (Abort in the first message), and approve that."
        return f"{name} was not stopped by this run, and is only at vhost count 0: {then}"
    last = last_in_effect(run, Effect.STOP_DOVECOT, Effect.START_DOVECOT)
    runs = f"dovecot runs on {name} again and is not verified yet.{held}"
    if any(Effect.START_DOVECOT in one.does for one in run.skipped):
        stopped = f"{name} may be stopped"  # whoever skipped that may have started it by hand
    elif last and Effect.STOP_DOVECOT in last.does:
        stopped = f"{name} is stopped"
    elif last:
        return runs
    elif not run.made_by(Effect.STOP_DOVECOT) and last_in_effect(run, Effect.STOP):
        stopped = f"a service of {name} is stopped"
    elif any(Effect.STOP in one.does for one in in_doubt(run)):
        stopped = f"a service of {name} may be stopped"
    else:
        return runs
    return f"{stopped} at {at}; {back}" if run.plan.back else f"{stopped} at {at}; going back starts it again."


def monitor(entry: Entry, reported: fact.MonitorSaysUp) -> Message:
    """A health monitor says up: nobody is called for it."""
    builder = MessageBuilder(
        f"A health monitor says up on {escape(reported.host)}, {clock(entry.at)}; it harms nobody."
    )
    builder.paragraph(f":information_source: *A health monitor says up*, {now(entry.at)}")
    builder.quote("*Seen*", reported.reason)
    builder.note("At vhost count 0 nobody is sent there, so it is left as it is, and not said again.")
    return builder.message(name=file_name(entry, "monitor"))


def booted(entry: Entry, boot: fact.BackendRebooted) -> MessageBuilder:
    """The backend was booted; its looks are written by the caller."""
    builder = MessageBuilder(f"{escape(boot.host)} was booted, {clock(entry.at)}: {prose(boot.reason, most=500)}.")
    builder.paragraph(f":arrows_counterclockwise: *{escape(boot.host)} was booted*, {now(entry.at)}")
    builder.quote("*Looked again*", boot.reason)
    return builder


def taken_over(entry: Entry, taken: fact.TakenOver, run: Run) -> Message:
    """Somebody does the rest by hand: what was done so far, and how the run lets go of the ring."""
    name = run.request.target.backend.name
    builder = MessageBuilder(f"{who(taken.by)} has taken {escape(name)} over by hand: {escape(taken.reason)}")
    builder.paragraph(f":raising_hand: *Taken over by hand* by {who(taken.by)}, {now(entry.at)}")
    builder.quote("*Reason given*", taken.reason)
    done = "\n".join(f"• {escape(step.says)}" for step in in_effect(run)) or "• nothing"
    builder.paragraph(f"*Seen done{', and not undone' if run.plan.back else ' so far'}*\n{done}")
    if begun := "\n".join(f"• {escape(step.says)}" for step in in_doubt(run)):
        builder.paragraph(f"*Begun, and not known to be done now*\n{begun}")
    last = last_in_effect(run, Effect.MASK, Effect.UNMASK, Effect.START_DOVECOT)
    if any(Effect.MASK in step.does for step in in_doubt(run)):
        builder.paragraph("Dovecot may be masked there: see `systemctl is-enabled dovecot` before it is started.")
    elif last and Effect.MASK in last.does:
        builder.paragraph(
            "This run has masked dovecot there: where `systemctl is-enabled dovecot` still says so,"
            " `systemctl unmask --runtime dovecot` before it can be started."
        )
    nothing = "The run sends nothing more, and sets nothing back; what was sent before may still come about."
    builder.paragraph(f"{nothing} {_lets_go(run)}")
    return builder.message(name=file_name(entry, "taken"), buttons=(_over(run, entry),))


def _lets_go(run: Run) -> str:
    """What the run releases its ring on; that a backend is in use says nothing where it was not out."""
    if run.was_out:
        return f"It releases the ring when {_in_use(run)}; or when somebody says that it stays out."
    name = escape(run.request.target.backend.name)
    return (
        f"The run does not know {name} to be out, so it releases the ring when somebody says that the work by hand is"
        f" done; or, once {name} was seen at vhost count 0, when {_in_use(run)}."
    )


def _in_use(run: Run) -> str:
    name = escape(run.request.target.backend.name)
    return f"every director is seen to give {name} users again, and dovecot is seen to run there"


def _over(run: Run, entry: Entry) -> Json:
    """The button by which a person ends the run."""
    name, answer = run.request.target.backend.name, answers(entry)
    then = f"The ring is claimed no more; runs are refused while {name} is out."
    if run.was_out:
        confirm = dialog(
            f"{name} stays out", f"End run {run.id}: {name} stays out? {then}", "It stays out", style="danger"
        )
        return button("It stays out…", "stays_out", answer, style="danger", confirm=confirm)
    text = f"End run {run.id}: is the work by hand on {name} done? {then}"
    confirm = dialog(f"Work by hand on {name}", text, "It is done", style="danger")
    return button("The work by hand is done…", "stays_out", answer, style="danger", confirm=confirm)


def seen_out(entry: Entry, out: fact.SeenOut, run: Run) -> Message:
    """A backend that was taken over is out now: from here on it is known when it is back."""
    builder = MessageBuilder(f"{escape(run.request.target.backend.name)} is seen out, {clock(entry.at)}.")
    builder.paragraph(f":information_source: *{escape(run.request.target.backend.name)} is seen out*, {now(entry.at)}")
    builder.quote("*Seen*", out.reason)
    builder.note(f"From here on the run releases the ring also when {_in_use(run)}.")
    return builder.message(name=file_name(entry, "out"))


def settings_changed(entry: Entry, changed: fact.SettingsChanged, run: Run) -> Message:
    """How hosts are reached from here on, and what of the settings does not count for a run that is open."""
    accesses = {**changed.directors, **changed.backends}
    head = f"The settings are {'not' if accesses or changed.stays else 'again'} as when this run was asked for"
    builder = MessageBuilder(f"{head}, {clock(entry.at)}.")
    builder.paragraph(f":gear: *{head}*, {now(entry.at)}")
    if accesses:
        lines = "\n".join(f"• {inline(name)}: {_access(access)}" for name, access in accesses.items())
        builder.paragraph(f"*Reached so from here on*; each proves anew who it is\n{lines}")
    if changed.stays:
        lines = "\n".join(f"• {prose(one)}" for one in changed.stays)
        builder.paragraph(f"*In the settings of now, and not for this run*\n{lines}")
        builder.note(_goes_on(run))
    return builder.message(name=file_name(entry, "settings"))


def _access(access: Access) -> str:
    """How a host is reached."""
    machine = f", {inline(f'machine_id {access.machine_id}')}" if access.machine_id else ""
    return f"{inline(f'ssh {access.ssh}')}{', with sudo' if access.sudo else ''}{machine}"


def not_for_this_run(run: Run) -> str:
    """What of the settings does not count for a run that holds, and what helps; empty where nothing differs."""
    if run.settings is None or not run.settings.stays:
        return ""
    stays = prose("; ".join(run.settings.stays))
    return f"*The settings have changed, and not for this run*: {stays}. {_goes_on(run)}"


def _goes_on(run: Run) -> str:
    """With whom, and what people can do about that."""
    directors = ", ".join(escape(director.name) for director in run.target.ring.directors)
    return (
        f"It goes on with what it was asked for with: the directors {directors}, and no other member of the ring is"
        " taken up. Where it holds for that, no edit of the settings helps: have the ring as it was until the run has"
        " ended, skip the step where it is a check, go back, or take over by hand."
    )
