"""A reading judged, with its reason in words: it holds, it does not, or it cannot be said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bot.core.events import Seen
from bot.core.plan import Expected, Plan, Value
from bot.core.probes import PROBES
from bot.core.procedure import Where
from bot.core.readings import Reading, version_key
from bot.errors import Misconfigured


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """`holds` is None when a host could not be read; `reason` says what was seen, host by host."""

    holds: bool | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """One expectation and what was seen for it, a Seen a host."""

    expected: Expected
    seen: tuple[Seen, ...]


def judge(looks: Sequence[Look]) -> Judgement:
    """All looks together: every one must hold on every host; nothing seen at all is no proof."""
    unread = _unread(looks)
    missing = [look for look in looks if not _read_enough(look)]
    against = [
        f"{seen.host}: {problem}"
        for look in looks
        for seen in look.seen
        if seen.reading is not None
        for problem in _problems(look.expected, seen.reading)
    ]
    if against:
        return Judgement(holds=False, reason="; ".join(against + unread))
    if missing or not looks:
        return Judgement(holds=None, reason="; ".join(unread) or "nothing was looked at")
    return Judgement(holds=True, reason="; ".join([*(_summary(look) for look in looks), *unread]))


def _unread(looks: Sequence[Look]) -> list[str]:
    """What was not read and why, each host's reason once: a host that is away is so for every probe."""
    problems = [(seen.host, seen.problem) for look in looks for seen in look.seen if seen.reading is None]
    told = (problem if problem.startswith(f"{host}: ") else f"{host}: {problem}" for host, problem in problems)
    return list(dict.fromkeys(told))


def _read_enough(look: Look) -> bool:
    """All hosts of the role, or, where those that answer are enough, at least one."""
    read = [seen.reading is not None for seen in look.seen]
    return any(read) and (all(read) or look.expected.where is Where.ANSWERING_DIRECTORS)


def deviating(looks: Sequence[Look]) -> tuple[str, ...]:
    """The hosts that were read and do not say what is expected."""
    hosts = [
        seen.host
        for look in looks
        for seen in look.seen
        if seen.reading is not None and _problems(look.expected, seen.reading)
    ]
    return tuple(dict.fromkeys(hosts))


def _conditions(expected: Expected) -> dict[str, Value]:
    fields = PROBES[expected.probe].fields
    return {key: value for key, value in expected.asks.items() if key in fields}


def _problems(expected: Expected, reading: Reading) -> list[str]:
    return [
        f"{_named(expected)}{key.replace('_', ' ')} is {_shown(reading[key])}, expected {_wanted(wanted)}"
        + _detail(key, reading)
        for key, wanted in _conditions(expected).items()
        if not _meets(reading[key], wanted)
    ]


def _detail(key: str, reading: Reading) -> str:
    """What the host itself said of it, where a yes or no says too little."""
    said = {"parses": "said", "greets": "said", "synced": "status"}.get(key)
    return f" ({reading[said]})" if said and reading.get(said) else ""


def _meets(value: str | int | bool, wanted: Value) -> bool:
    match wanted:
        case {"at_least": int(least)}:
            return isinstance(value, int) and value >= least
        case {"below": str(limit)}:
            return bool(version_key(str(value))) and version_key(str(value)) < version_key(limit)
        case list():
            return value in wanted
        case _:
            return type(value) is type(wanted) and value == wanted


def _wanted(wanted: Value) -> str:
    match wanted:
        case {"at_least": least}:
            return f"at least {least}"
        case {"below": limit}:
            return f"below {limit}"
        case list():
            return " or ".join(_shown(one) for one in wanted)
        case str() | int():
            return _shown(wanted)
        case _:
            return str(wanted)


def _shown(value: str | int | bool) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    return text[:12] + "…" if len(text) == 64 and " " not in text else text or "empty"


def _named(expected: Expected) -> str:
    """What of the host was looked at, where a probe can look at several."""
    asks = expected.asks
    if "path" in asks:
        return f"{asks['path']}/{asks['named']} " if "named" in asks else f"{asks['path']} "
    return f"port {asks['port']} " if "port" in asks else f"{asks['name']} " if "name" in asks else ""


def _summary(look: Look) -> str:
    """What held, in a line; hosts that read the same are named together."""
    by_reading: dict[str, list[str]] = {}
    keys = list(_conditions(look.expected)) or sorted(PROBES[look.expected.probe].fields)
    for seen in look.seen:
        if seen.reading is None:
            continue
        read = ", ".join(f"{key.replace('_', ' ')} {_shown(seen.reading[key])}" for key in keys)
        by_reading.setdefault(_named(look.expected) + read, []).append(seen.host)
    return "; ".join(f"{', '.join(hosts)}: {read}" for read, hosts in by_reading.items())


def check_expectations(plan: Plan) -> None:
    """Raises Misconfigured, naming the step, for an unknown probe, a missing parameter or a key it does not have."""
    for step in plan.steps:
        watched = (step.watch,) if step.watch else ()
        actions = [action for action in (step.action, step.undo) if action]
        for expected in (*step.expect, *watched, *(one for action in actions for one in action.done_when)):
            if mistake := _mistake(expected):
                raise Misconfigured(f"step {step.name}: {mistake}")


def _mistake(expected: Expected) -> str:
    probe = PROBES.get(expected.probe)
    if probe is None:
        return f"there is no probe {expected.probe!r}; there are: {', '.join(sorted(PROBES))}"
    asked = set(expected.asks)
    if missing := probe.parameters - asked:
        return f"probe {probe.name} needs {', '.join(sorted(missing))}"
    if unknown := asked - probe.parameters - probe.fields - probe.optional:
        return f"probe {probe.name} knows no {', '.join(sorted(unknown))}"
    return ""
