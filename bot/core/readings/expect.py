"""A reading judged, with its reason in words: it holds, it does not, or it is not known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.core.plans.plan import Expected, Plan, PlannedCheck, Value
from bot.core.plans.procedure import Where
from bot.core.readings.outputs import Reading, version_key
from bot.core.readings.probes import PROBES
from bot.core.readings.starts import NOT_SEEN
from bot.core.runs.events import Seen
from bot.errors import Misconfigured


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`holds` is None when a host could not be read; `reason` says what was seen, host by host."""

    holds: bool | None
    reason: str


@dataclass(frozen=True, kw_only=True)
class Look:
    """One expectation and what was seen for it, a Seen a host."""

    expected: Expected
    seen: tuple[Seen, ...]


def judge(looks: Sequence[Look]) -> Verdict:
    """All looks together: every one must hold on every host; nothing seen at all is no proof."""
    unread = _unread(looks)
    missing = [look for look in looks if not _read_enough(look)]
    against = [
        f"{seen.host}: {problem}"
        for look in looks
        for seen in look.seen
        if seen.reading is not None
        for problem in _problems(look.expected, seen.reading)
    ] + [problem for look in looks for problem in _contradictions(look)]
    if against:
        return Verdict(holds=False, reason="; ".join(against + unread))
    if missing or not looks:
        return Verdict(holds=None, reason="; ".join(unread) or "nothing was looked at")
    return Verdict(holds=True, reason="; ".join([*(_summary(look) for look in looks), *unread]))


def _unread(looks: Sequence[Look]) -> list[str]:
    """What was not read and why, each host's reason once: a host that is away is so for every probe."""
    problems = [(seen.host, seen.problem) for look in looks for seen in look.seen if seen.reading is None]
    named = (problem if problem.startswith(f"{host}: ") else f"{host}: {problem}" for host, problem in problems)
    return list(dict.fromkeys(named))


def _read_enough(look: Look) -> bool:
    """All hosts of the role, or, where those that answer are enough, at least one."""
    read = [seen.reading is not None for seen in look.seen]
    return any(read) and (all(read) or look.expected.where is Where.ANSWERING_DIRECTORS)


def _contradictions(look: Look) -> list[str]:
    """What directors say against one another, whatever was expected: else one asked under two names passes as two."""
    together = look.expected.where in {Where.EVERY_DIRECTOR, Where.ANSWERING_DIRECTORS}
    if look.expected.probe != "director-ring" or not together:
        return []
    readings = {seen.host: seen.reading for seen in look.seen if seen.reading is not None}
    own = {host: str(reading["self"]) for host, reading in readings.items()}
    members = {host: str(reading["members"]) for host, reading in readings.items()}
    if look.expected.where is Where.ANSWERING_DIRECTORS:
        return [*_the_same(own), *_strangers(own, members)]
    return [*_the_same(own), *_not_all(own, members, whole=len(readings) == len(look.seen))]


def _the_same(own: Mapping[str, str]) -> Iterator[str]:
    for address in dict.fromkeys(own.values()):
        *others, last = (host for host, shown in own.items() if shown == address)
        if others:
            wrong = "one of the two `ssh` names" if len(others) == 1 else "more than one of their `ssh` names"
            yield (
                f"{', '.join(others)} and {last} are one and the same director, {address}:"
                f" {wrong} in the settings is wrong"
            )


def _strangers(own: Mapping[str, str], members: Mapping[str, str]) -> Iterator[str]:
    """A director is a member of the ring that each other one is in, or it is in another ring."""
    for host, address in own.items():
        for other, known in members.items():
            if address not in known.split():
                yield f"{host} is {address}, which is no member of the ring that {other} is in: {known}"


def _not_all(own: Mapping[str, str], members: Mapping[str, str], *, whole: bool) -> Iterator[str]:
    """`whole`: every director was read, so that a member which none of them is cannot be one that was not read."""
    if len(set(members.values())) > 1:
        yield "the directors name different members: " + "; ".join(f"{host}: {all_}" for host, all_ in members.items())
    elif whole:
        known = {address for all_ in members.values() for address in all_.split()}
        for address in sorted(known - set(own.values())):
            yield (
                f"{address} is a member of the ring, and no director that the settings had when this was asked for"
                " answers as it; one that is added to them counts for runs that are asked for from then on"
            )


def counts_only(check: PlannedCheck) -> bool:
    """Whether nothing that it reads can be against it: numbers that move by themselves, for people to see."""
    wanted = [value for expected in check.expect for value in _conditions(expected).values()]
    return bool(wanted) and all(value == {"at_least": 0} for value in wanted)


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
    """What the host itself printed, where a yes or no is too little."""
    detail = _DETAILS.get(key)
    return f" ({reading[detail]})" if detail and reading.get(detail) else ""


_DETAILS = {
    "parses": "said",
    "starts": "said",
    "greets": "said",
    "synced": "status",
    "ready": "said",
    "flushed": "said",
    "past_directors": "who",
}


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
    probe = PROBES[look.expected.probe]
    conditions = list(_conditions(look.expected))
    keys = conditions or sorted(probe.fields - probe.hidden)
    for seen in look.seen:
        if seen.reading is None:
            continue
        words = probe.in_words(seen.reading) if probe.in_words and not conditions else None
        read = words or ", ".join(_held(key, seen.reading) for key in keys)
        by_reading.setdefault(_named(look.expected) + read, []).append(seen.host)
    return "; ".join(f"{', '.join(hosts)}: {read}" for read, hosts in by_reading.items())


def _held(key: str, reading: Reading) -> str:
    explained = (key == "past_directors" and reading[key]) or reading[key] == NOT_SEEN
    return f"{key.replace('_', ' ')} {_shown(reading[key])}{_detail(key, reading) if explained else ''}"


def check_expectations(plan: Plan) -> None:
    """Raises Misconfigured, naming the step, for an unknown probe, a missing parameter or a key it does not have."""
    for step in plan.steps:
        for expected in step.looks:
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
