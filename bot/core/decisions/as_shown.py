"""What a flush approval shows of the backend as it stands, and what of that is different now.

Read when it is asked for, kept with the question, and a guard of what it covers until the run itself changes it: what
`unattended-upgrades`, needrestart or a colleague do in between, nobody has approved. The restore approval shows what
the run has made of the backend, where it still is so. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import assert_never

from bot.core.plans.effects import TAKE_USERS_AWAY, Effect
from bot.core.plans.plan import (
    Expected,
    Plan,
    PlannedApproval,
    PlannedChange,
    PlannedCheck,
    PlannedStep,
    PlannedWait,
    Value,
)
from bot.core.plans.procedure import Where
from bot.core.readings.expect import Look, judge
from bot.core.readings.outputs import Reading
from bot.core.readings.packages import way_back_in_words
from bot.core.readings.probes import PROBES
from bot.core.runs.events import ApprovalLapsed, Seen
from bot.core.runs.run import Run

CONFIGURATION = "/etc/dovecot"
REPLACES = frozenset({Effect.INSTALL, Effect.CONFIGURE})


@dataclass(frozen=True, kw_only=True)
class _Thing:
    """One thing that is shown: what is looked at, and by their names in the question, the fields that count."""

    called: str
    look: Expected
    fields: Mapping[str, str]


def _things(plan: Plan) -> Iterator[_Thing]:
    tree: dict[str, Value] = {"path": CONFIGURATION, "files": {"at_least": 1}}
    yield _thing("the configuration in place", "owned-tree", tree, in_place="listing")
    yield _thing("the installed packages", "dovecot-packages", {}, installed="installed")
    for probe, fields in _DOWNLOADS.items():
        for asks in _asked(plan, probe):
            yield _thing("the downloads", probe, asks, **fields)
    yield _thing("dovecot's unit", "unit", {"name": "dovecot"}, **{f"dovecot_{key}": key for key in _UNIT})


def _thing(called: str, probe: str, asks: Mapping[str, Value], **fields: str) -> _Thing:
    return _Thing(called=called, look=Expected(probe=probe, where=Where.BACKEND, asks=asks), fields=fields)


_DOWNLOADS = {"downloaded-packages": {"downloaded": "missing"}, "packages-of-before": {"way_back": "way_back"}}


def _asked(plan: Plan, probe: str) -> list[dict[str, Value]]:
    """How a plan looks for its downloads, once; nothing where it makes none."""
    looks = (one for step in plan.steps for one in _wanted(step))
    parameters = PROBES[probe].parameters
    return [{key: one.asks[key] for key in sorted(parameters)} for one in looks if one.probe == probe][:1]


def _wanted(step: PlannedStep) -> tuple[Expected, ...]:
    """What a check expects, or shows that a change is done."""
    match step:
        case PlannedCheck():
            return step.expect
        case PlannedChange():
            return step.action.done_when
        case PlannedWait() | PlannedApproval():
            return ()
        case _:
            assert_never(step)


def must_be_as_shown(ahead: Sequence[PlannedStep], *, config: bool, disturbed: bool) -> frozenset[str]:
    """The names of what has to be as shown: all of it until users are disturbed, then what is still to be replaced.

    `ahead`: the step at hand and all after it; `config`: the run replaces the configuration.
    """
    if not disturbed:
        return _ALL
    does = frozenset[Effect]().union(*(step.does for step in ahead))
    packages = {"installed", "downloaded", "way_back"} if Effect.INSTALL in does else set[str]()
    return frozenset(packages | ({"in_place"} if config and does & REPLACES else set()))


_ALL = frozenset(
    {"in_place", "installed", "downloaded", "way_back", "dovecot_load", "dovecot_active", "dovecot_enabled"}
)


def to_read(names: frozenset[str], plan: Plan) -> tuple[tuple[Expected, ...], dict[str, str]]:
    """What is looked at when it is asked for, and which field of it is kept under which name."""
    things = [thing for thing in _things(plan) if names & thing.fields.keys()]
    fields = {name: key for thing in things for name, key in thing.fields.items()}
    return tuple(thing.look for thing in things), fields


def as_shown(shown: Mapping[str, str], plan: Plan) -> tuple[Expected, ...]:
    """What is looked at to see that all of it is as it was shown."""
    return tuple(_as_shown(thing, shown) for thing in _shown(shown, plan))


def things_in_words(shown: Mapping[str, str], plan: Plan) -> str:
    """What that is, in words."""
    return ", ".join(dict.fromkeys(thing.called for thing in _shown(shown, plan)))


def _shown(shown: Mapping[str, str], plan: Plan) -> list[_Thing]:
    return [thing for thing in _things(plan) if thing.fields.keys() <= shown.keys()]


def _as_shown(thing: _Thing, shown: Mapping[str, str]) -> Expected:
    if "in_place" in thing.fields:
        asks: dict[str, Value] = {"path": CONFIGURATION, "since": shown["in_place"], "difference": "none"}
        return Expected(probe="tree-changes", where=Where.BACKEND, asks=asks)
    there = {key: shown[name] for name, key in thing.fields.items()}
    return replace(thing.look, asks={**thing.look.asks, **there})


def ring_is_past(run: Run) -> bool:
    """Whether the users were moved, and nothing that is left behind the approval at hand has to do with directors."""
    return run.made_by(Effect.FLUSH) is not None and not any(_of_the_ring(step) for step in run.covered)


def _of_the_ring(step: PlannedStep) -> bool:
    """Also a stop: where users would go is a guard of it."""
    there = isinstance(step, PlannedChange) and step.where is not Where.BACKEND
    does = step.does & {*TAKE_USERS_AWAY, Effect.STOP, Effect.RESTORE}
    return there or bool(does) or any(look.where is not Where.BACKEND for look in step.looks)


def as_left(run: Run) -> Iterator[tuple[PlannedChange, tuple[Expected, ...]]]:
    """The changes of packages and configuration that the plan has made, each with what shows that it is still so."""
    for step in run.plan.changes:
        # Not dovecot's unit: it was stopped then, and is not now.
        looks = tuple(look for look in step.action.done_when if look.probe != "unit")
        if step.does & REPLACES and step.name in run.seen_done and looks:
            yield step, looks


# in words


def differences(shown: Mapping[str, str], looks: Sequence[Look]) -> str:
    """What is not as it was shown, in words; `looks` are those of `as_shown`."""
    return "; ".join(
        line
        for look in looks
        if (verdict := judge((look,))).holds is False
        for line in _differs(shown, look.expected.probe, look.seen[0].reading or {}, verdict.reason)
    )


def _differs(shown: Mapping[str, str], probe: str, now: Reading, reason: str) -> Iterator[str]:
    match probe:
        case "dovecot-packages":
            yield from _versions(shown["installed"], str(now["installed"]), "when it was shown")
        case "unit":
            for key in _UNIT:
                if now[key] != (was := shown[f"dovecot_{key}"]):
                    yield f"dovecot is {now[key] or _NO_STATE} now, and was {was or _NO_STATE} when it was shown"
        case "downloaded-packages":
            yield f"{_DOWNLOADED}: {_there(now['missing'])} now, and {_there(shown['downloaded'])} when it was shown"
        case "packages-of-before":
            yield f"{way_back_in_words(now)}; when it was shown: {shown['way_back']}"
        case _:
            yield f"the configuration in place is another one: {reason}"


_UNIT, _NO_STATE = ("load", "active", "enabled"), "in no state"
_DOWNLOADED = "the downloaded packages"


def _there(missing: object) -> str:
    return "all there" if missing == "none" else f"without {missing}"


def _versions(before: str, now: str, when: str) -> Iterator[str]:
    """What differs between two lists NAME=VERSION NAME=VERSION …"""
    was, there = (dict(one.split("=", 1) for one in text.split() if "=" in one) for text in (before, now))
    for name in sorted(was.keys() | there.keys()):
        if was.get(name) != there.get(name):
            version, old = (side.get(name, "not installed") for side in (there, was))
            yield f"{name} is {version} now, and was {old} {when}"


def evidence(verified: Mapping[str, str], before: str) -> Iterator[str]:
    """The same for whoever approves; `before`: the versions of what is to be upgraded, as they were in preflight."""
    if "dovecot_active" in verified:
        yield f"dovecot is {', '.join(verified[f'dovecot_{key}'] or _NO_STATE for key in _UNIT)}"
    if "installed" in verified:
        named = {one.partition("=")[0] for one in before.split()}
        there = " ".join(one for one in verified["installed"].split() if one.partition("=")[0] in named)
        yield "; ".join([f"installed: {verified['installed']}", *_versions(before, there, "in preflight")])
    if "downloaded" in verified:
        from_mirror = "" if verified["downloaded"] == "none" else "; the installation asks the mirror for it"
        yield f"{_DOWNLOADED}: {_there(verified['downloaded'])}{from_mirror}"
    if "way_back" in verified:
        yield way_back_in_words(verified)


def users_there_now(run: Run, step: PlannedChange, seen: Sequence[Seen]) -> ApprovalLapsed | None:
    """The lapse of an approval that said that nobody is mapped to a backend, whose first stop would cut users off.

    Counts move by themselves, and make no approval old; but to a backend without vhosts nobody comes by themselves.
    """
    before = run.plan.steps[: run.plan.steps.index(step)]
    moved = any(Effect.FLUSH in one.does for one in before)
    disturbed = any(one.disturbs and (one.name in run.sent or Effect.STOP_DOVECOT in one.does) for one in run.touched)
    if not step.disturbs or disturbed or moved or run.grant is None or run.grant.users != 0:
        return None
    read = [one.reading for one in seen if one.probe == "director-hosts" and one.reading is not None]
    users = max((int(reading["users"]) for reading in read), default=0)
    if not users:
        return None
    reason = f"users mapped to it now: {users}, and none when it was asked for; somebody has given it users"
    return ApprovalLapsed(gate=run.grant.gate, reason=reason, at=step.name)
