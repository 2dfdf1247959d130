"""What two rings have in common when they differ in names, numbers and times: the shape of what they answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bot.core.hosts.command import Result
from bot.core.hosts.inventory import Target
from bot.core.readings.outputs import Reading
from bot.core.readings.probes import PROBES
from bot.errors import Unreadable

_COUNTED = frozenset({"users", "stranded", "processes", "sessions", "past_directors", "who", "names", "hours", "old"})
"""Goes up and down by itself."""
_KINDS = {"tree": {"mode", "DIGEST"}, "package-changes": {"Inst", "Remv", "Conf"}}
_KINDS |= {probe: {"d", "f", "DIGEST"} for probe in ("owned-tree", "tree-changes", "ownership")}
"""What lines begin with. A link is no less a file, and not every configuration has one."""
_NAMED = frozenset({"listing", "state", "difference", "new"})
"""Which files there are is each ring's own."""
_EXACT = frozenset({"vhosts", "usable_others", "directors"})


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An answer to a probe; two that are equal are read alike, for the same reasons."""

    probe: str
    exit_status: int
    output: object
    complaint: str
    reading: object


def shape(target: Target, probe: str, asks: Mapping[str, str], result: Result) -> Shape:
    """The shape of one raw answer, and of its reading."""
    complaints = plain(target, result.stderr).splitlines()
    return Shape(
        probe=probe,
        exit_status=result.exit_status,
        output=_output(target, probe, result.stdout),
        complaint=complaints[-1] if complaints else "",
        reading=_reading(target, probe, asks, result),
    )


def _reading(target: Target, probe: str, asks: Mapping[str, str], result: Result) -> object:
    try:
        reading: Reading = PROBES[probe].read(target, asks, result)
    except Unreadable as error:
        return plain(target, str(error))
    skipped = _COUNTED | ({"said"} if probe == "greeting" else set())
    return {key: _value(target, key, value) for key, value in reading.items() if key not in skipped}


def _value(target: Target, key: str, value: str | int | bool) -> object:
    if key in _NAMED:
        return value not in {"", "none"}
    if isinstance(value, str):
        return plain(target, value)
    return value if isinstance(value, bool) or key in _EXACT else value > 0


def _output(target: Target, probe: str, text: str) -> object:
    lines = plain(target, text).splitlines()
    if probe in _SIMPLE:
        return _SIMPLE[probe](lines)
    match probe:
        case "service":
            return [list(row) for row in json.loads(text)] if text else []
        case "tree" | "package-changes" | "owned-tree" | "tree-changes" | "ownership":
            return sorted({re.split(r"[ \t]", line)[0] for line in lines} & _KINDS[probe])
        case "sessions" | "proxied-sessions":
            return [re.sub(r"[0-9]+", "9", line) for line in lines[:1]]  # who is there is not the ring's
        case "config-difference":
            return sorted({line[0] for line in lines if line and line[0] not in " l"})
        case "mailbox-list" | "mailbox-status":
            folders = sorted({re.sub(r"^\w+", "FOLDER", line) for line in lines})
            return folders if probe == "mailbox-status" else bool(lines)
        case "greeting":
            return [line.partition(" ")[0] for line in lines]
        case "packages" | "offered-packages" | "dovecot-packages":
            # What a list of apt's knows of, and nobody has installed, is no part of the host.
            there = (line for line in lines if not line.endswith("\tnot-installed"))
            return sorted({re.sub(r"(\| VERSION \|).*", r"\1", line) for line in there})
        case "unit" | "director-hosts" | "director-ring":
            return [*lines[:1], *sorted(set(lines[1:]))]
        case _:
            return sorted(set(lines))


_SIMPLE: Mapping[str, Callable[[list[str]], object]] = {
    **dict.fromkeys(
        ("downloaded-packages", "packages-of-before"), lambda lines: sorted({line.partition("_")[0] for line in lines})
    ),
    "candidate-packages": lambda lines: sorted(
        {line.partition(": ")[0] for line in lines if re.match(r"\S|  [IC]", line)}
    ),
    "files": lambda lines: sorted({re.sub(r"[^/]*$", "", line) for line in lines}),
    "mounts": lambda lines: lines[:1],
    "package-lists": lambda lines: len(lines) > 1,
    "space": lambda lines: [line.split() for line in lines[:1]],
}


def plain(target: Target, text: str) -> str:
    """Without what differs between two rings, and between two moments of one."""
    ring = target.ring
    # Quotes are the locale's.
    text = text.replace(ring.test_user, "USER").replace("‘", "'").replace("’", "'")
    for backend in ring.backends:
        text = re.sub(rf"{re.escape(str(backend.ip))}(?!\d)", "OWN" if backend == target.backend else "OTHER", text)
    text = re.sub(r"(?:\b\d+:)?\b\d[\d.]*\+dfsg\S*", "VERSION", text)
    text = re.sub(r"\b[0-9a-f]{64}\b", "DIGEST", text)
    text = re.sub(r"\b[0-9a-f]{32}\b", "START", text)
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "-", text)
    text = re.sub(r"\b(?:127|192)(?:\.\d{1,3}){3}\b", "DIRECTOR", text)
    text = re.sub(r"<\d+><>", "", text)
    return re.sub(r"(?<=[\t=])[0-9]+(?=\t|$)", "9", text, flags=re.MULTILINE)
