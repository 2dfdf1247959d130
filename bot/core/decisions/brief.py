"""What decides an approval, in a few lines: made of what was read when it was asked for, and kept with the question.

Decisive things first; what should stop somebody who is about to click is an alarm. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType

from bot.core.decisions.as_shown import REPLACES
from bot.core.decisions.guards import moved_before
from bot.core.hosts.inventory import TakeDown
from bot.core.plans.effects import Effect
from bot.core.plans.plan import PlannedChange, PlannedStep
from bot.core.plans.procedure import Gate
from bot.core.readings.outputs import Reading
from bot.core.readings.packages import is_older, way_back_in_words
from bot.core.readings.starts import NOT_SEEN
from bot.core.runs.changed import at_zero, by_name, stops_it, users_wait_until, versions
from bot.core.runs.events import Seen
from bot.core.runs.run import Run
from bot.core.text.amount import named, plural
from bot.core.text.dates import clock, stamp
from bot.core.text.duration import between


@dataclass(frozen=True, kw_only=True)
class Brief:
    """Plain sentences without a full stop: first the alarms, then what is as it should be."""

    alarms: tuple[str, ...]
    lines: tuple[str, ...]


def brief(
    run: Run,
    gate: Gate,
    seen: Sequence[Seen],
    verified: Mapping[str, str],
    now: datetime,
    *,
    not_so: Mapping[str, str] = MappingProxyType({}),
) -> Brief:
    """What somebody has to know to decide on this gate.

    `seen`: what was read for the question; `not_so`: by step, what is not seen to be as it was, in words.
    """
    readings = [(one.probe, one.reading) for one in seen if one.reading is not None]
    match gate:
        case Gate.FLUSH:
            found = (
                *_users(run, readings),
                *_brought(run, verified),
                *_since_preflight(run, verified),
                *_packages(verified, readings),
                *_configuration(run, readings),
            )
            found = (*found, *_others(readings), *_way_back(run, verified))
        case Gate.RESTORE:
            found = (*_proved(run, readings, not_so), *_left(run, not_so), *_out(run, now))
        case Gate.GO_BACK:
            found = (*_undone(run), *_waiting(run), *_out(run, now))
    found = (*_skipped(run), *(_Line(text=text, alarm=True) for text in not_so.values()), *found)
    alarms, lines = (tuple(one.text for one in found if one.alarm is alarm) for alarm in (True, False))
    return Brief(alarms=alarms, lines=lines)


@dataclass(frozen=True, kw_only=True)
class _Line:
    text: str
    alarm: bool = False


def _skipped(run: Run) -> Iterator[_Line]:
    """How many first, and changes before checks: a line may be cut where it is shown."""
    if steps := sorted(run.skipped, key=lambda step: not isinstance(step, PlannedChange)):
        yield _Line(text=f"{plural(len(steps), 'step')} skipped: {named([step.says for step in steps])}", alarm=True)


_Readings = Sequence[tuple[str, Reading]]


def _of(readings: _Readings, probe: str) -> list[Reading]:
    return [reading for name, reading in readings if name == probe]


def _users(run: Run, readings: _Readings) -> Iterator[_Line]:
    """In which order the backend is taken down, and what its users feel of it; no more than was measured."""
    name, users = run.request.target.backend.name, mapped(readings)
    stop = stops_it(run.plan)
    if stop is None or (run.lapsed is not None and run.may_have_disturbed):
        return
    order = order_named(run, stop)
    if users is None:
        yield _Line(text=f"{not_counted(run)} ({order})", alarm=True)
    elif not users:
        yield _Line(text=f"no user is mapped to {name} ({order})")
    elif moved_before(run.plan, stop):
        waits = f"their logins wait at the directors, {math.ceil(users / 100) * 2} s at least"
        yield _Line(text=f"{moved(users)} while {name} still serves; {waits} ({order})")
    else:
        fails = f"about as many fail a login until {users_wait_until(run.plan, stop)}"
        why = f"{order}: directors send a waiting login to the stopped backend again"
        stops = f"{name} stops with {plural(users, 'user')} mapped to it"
        yield _Line(text=f"{stops}, and {fails} ({why})", alarm=True)
    for reading in _of(readings, "sessions"):
        if past := int(reading["past_directors"]):
            cut = f"{past} sessions came past the directors, and the stop cuts them: {reading['who']}"
            yield _Line(text=cut, alarm=True)


def order_named(run: Run, stop: PlannedStep) -> str:
    """The order of the take-down, by its name in the settings."""
    return f"order {TakeDown.MOVE_FIRST if moved_before(run.plan, stop) else TakeDown.RUNBOOK}"


def mapped(readings: _Readings) -> int | None:
    """How many users are mapped to the backend, as read for the question; None where they were not."""
    return max((int(reading["users"]) for reading in _of(readings, "director-hosts")), default=None)


def not_counted(run: Run) -> str:
    """That nobody has counted them for it, and the last count, where there is one."""
    last = max(run.ring.users.values(), default=None)
    known = "" if last is None else f"; by the last count there were {last}"
    return f"the users mapped to {run.request.target.backend.name} were not counted for this question{known}"


_MAIL = {"mailbox-list", "mailbox-status", "fetched-mail"}


def _brought(run: Run, verified: Mapping[str, str]) -> Iterator[_Line]:
    """The packages that the run changes: from what the flush approval reads, or has read, of the backend; it may be
    another version than the plan was made from.
    """
    if any(Effect.INSTALL in step.does for step in run.skipped):
        return
    for names, before, after in _together(versions(run, verified.get("installed", ""))):
        change = f"{after} already" if before == after else f"{before} → {after}"
        yield _Line(text=f"{names}: {change}", alarm=is_older(after, before))


def _since_preflight(run: Run, verified: Mapping[str, str]) -> Iterator[_Line]:
    now = by_name(verified.get("installed", ""))
    then = by_name(run.observed.get("packages_before", ""))
    others = ((name, was, now.get(name, was)) for name, was in then.items())
    for names, was, there in _together(row for row in others if row[1] != row[2]):
        yield _Line(text=f"{names}: {there} now, and {was} in preflight", alarm=True)


def _together(changes: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Of packages, each with two versions, those with the same two as one: the first one's name, and how many more."""
    groups: dict[tuple[str, str], list[str]] = {}
    for name, before, after in changes:
        groups.setdefault((before, after), []).append(name)
    for (before, after), names in groups.items():
        yield names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else ""), before, after


def _packages(verified: Mapping[str, str], readings: _Readings) -> Iterator[_Line]:
    for reading in _of(readings, "package-lists"):
        if reading["old"] != "no":
            yield _Line(text=str(reading["old"]), alarm=True)
    if verified.get("downloaded", "none") != "none":
        yield _Line(text=f"not downloaded, and asked of the mirror: {verified['downloaded']}", alarm=True)
    if verified.get("dovecot_active", "active") != "active":
        yield _Line(text=f"dovecot is {verified['dovecot_active'] or 'in no state'} now", alarm=True)


def _configuration(run: Run, readings: _Readings) -> Iterator[_Line]:
    name = run.request.config
    for reading in _of(readings, "tree-changes"):
        if reading["difference"] != "none":
            yield _Line(text=f"/etc/dovecot has changed since it was compared: {reading['difference']}", alarm=True)
    for reading in _of(readings, "config-difference"):
        files = sum(int(reading[how]) for how in ("changed", "added", "removed"))
        yield _Line(text=f"configuration {name}: lines {reading['lines']} in {plural(files, 'file')}")
        if removed := int(reading["removed"]):
            go = "goes" if removed == 1 else "go"
            yield _Line(text=f"{plural(removed, 'file')} of the configuration in place {go}", alarm=True)
        if reading["newer"] != "none":
            yield _Line(text=f"newer on the host than in the proposal: {reading['newer']}", alarm=True)
    for reading in _of(readings, "config-starts"):
        if reading["starts"] == NOT_SEEN:
            yield _Line(text=f"not seen: {reading['said']}", alarm=True)


def _others(readings: _Readings) -> Iterator[_Line]:
    usable = [int(reading["usable_others"]) for reading in _of(readings, "director-hosts")]
    if usable:
        few = min(usable)
        text = "one other backend alone is usable" if few == 1 else f"{few} other backends are usable"
        yield _Line(text=text, alarm=few <= 1)


def _way_back(run: Run, verified: Mapping[str, str]) -> Iterator[_Line]:
    if verified.get("way_back", "there") != "there":
        yield _Line(text=way_back_in_words(verified), alarm=True)
    made = [step for step in run.plan.changes if step not in run.skipped]
    undone = frozenset[Effect]().union(*(step.undo.does for step in made if step.undo))
    if verified.get("way_back", "there") != "there":
        undone -= {Effect.INSTALL}
    things = {Effect.INSTALL: "the packages", Effect.CONFIGURE: "the configuration"}
    back = " and ".join(name for effect, name in things.items() if effect in undone)
    gone = any(Effect.DELETE in step.does for step in made)
    lines = [f"puts {back} back"] if back else ["gives it its users back"]
    yield _Line(text=f"going back {', '.join([*lines, *(['and leaves the metacache empty'] if gone else [])])}")


def _proved(run: Run, readings: _Readings, not_so: Mapping[str, str]) -> Iterator[_Line]:
    if any(look.probe in _MAIL for step in run.plan.steps if step.name in not_so for look in step.looks):
        return  # which is an alarm already
    folders = [int(reading["folders"]) for reading in _of(readings, "mailbox-list")]
    mails = [int(reading["messages"]) for reading in _of(readings, "mailbox-status")]
    if folders and mails:
        read = f"{plural(folders[0], 'folder')}, {plural(mails[0], 'mail')}"
        yield _Line(text=f"the test user {run.request.target.ring.test_user} reads mail there: {read}")
    else:
        yield _Line(text="nothing was read as the test user for this question", alarm=True)


def _left(run: Run, not_so: Mapping[str, str]) -> Iterator[_Line]:
    """What the run has made of the backend; of a change that was skipped, or is not so any more, just that."""
    steps = (*run.skipped, *(step for step in run.plan.steps if step.name in not_so))
    amiss = frozenset[Effect]().union(*(step.does for step in steps))
    left = frozenset[Effect]().union(*(step.does for step in run.plan.changes if step.name in run.seen_done)) - amiss
    things = {Effect.INSTALL: "packages", Effect.CONFIGURE: "configuration"}
    if not (left | amiss) & REPLACES:
        yield _Line(text="this run has changed neither packages nor configuration")
    elif run.plan.back and left & REPLACES:
        named = " and ".join(name for effect, name in things.items() if effect in left)
        yield _Line(text=f"{named} as before the run")
    elif not run.plan.back:
        yield from _brought(run, run.verified) if Effect.INSTALL in left else ()
        yield from [_Line(text=f"configuration {run.request.config}")] if Effect.CONFIGURE in left else []
    deletes = {step.name for step in run.request.plan.changes if Effect.DELETE in step.does}
    emptied = {step.name for step in run.made} & deletes
    if emptied and Effect.DELETE not in amiss and run.request.target.ring.metacache:
        whole, seen = emptied == deletes, emptied <= run.metacache.emptied
        how = "is empty" if whole else "was emptied in part"
        flushed = f"was flushed, and {how}: first logins read from the object storage"
        lost = f"{how}, and was not seen to be flushed before: what it alone held is lost"
        yield _Line(text=f"the metacache {flushed if seen else lost}", alarm=not (whole and seen))


def _out(run: Run, now: datetime) -> Iterator[_Line]:
    if run.ring.given_users:
        yield _Line(text="directors were last seen to give it users already", alarm=True)
    elif run.ring.zero_since and at_zero(run):
        since, out = run.ring.zero_since, between(run.ring.zero_since, now)
        at = clock(since) if since.date() == now.date() else stamp(since)
        yield _Line(text=f"without new users since {at}, {out} before this question")


def _undone(run: Run) -> Iterator[_Line]:
    changes = [step for step in run.plan.steps[run.position :] if isinstance(step, PlannedChange)]
    yield _Line(text=f"{plural(len(changes), 'change')} on the way back: {named([step.says for step in changes])}")
    if left := run.plan.left_out:
        yield _Line(text=f"not undone: {named([one.step for one in left])}")


def _waiting(run: Run) -> Iterator[_Line]:
    if run.users_wait:
        was = "was last seen stopped" if run.made_by(Effect.STOP_DOVECOT) else "may be stopped"
        yield _Line(text=f"users may wait: dovecot {was}, and was not looked at for this question", alarm=True)


def moved(users: int) -> str:
    """So many users are moved."""
    return f"{plural(users, 'user')} {'is' if users == 1 else 'are'} moved"


def begins(run: Run, steps: Sequence[PlannedStep], installed: str = "") -> str:
    """All that is done to mail by these steps, in their order, with the numbers last read.

    `installed`: the packages as the question has read them.
    """
    found: dict[Effect, None] = {}
    for step in steps:
        does = step.does - ({Effect.STOP} if Effect.STOP_DOVECOT in step.does else set())
        found |= dict.fromkeys(sorted(does, key=list(Effect).index))
    brings = list(versions(run, installed))
    packages = sum(before != after for _, before, after in brings)
    if brings and not packages:
        found.pop(Effect.INSTALL, None)
    users = max(run.ring.users.values(), default=0)
    numbered: dict[Effect, str] = {}
    if users:
        numbered[Effect.FLUSH] = f"moves {plural(users, 'user')}"
    if packages:
        numbered[Effect.INSTALL] = f"installs {plural(packages, 'package')}"
    return ", ".join(numbered.get(effect, effect) for effect in found)
