"""What is newer on a host than in a proposed configuration: files that differ, and whose time there is later. Pure.

Times are compared as the files have them, whatever made them: they are shown to people, and nothing is decided by them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import filterfalse

from bot.core.hosts.command import Command, Result
from bot.core.plans.listing import WHOLE, listing
from bot.errors import Unreadable

KEPT = 32 * 1024 * 1024
"""Bytes of the answer that are kept: twenty thousand files with long names, and their sums."""

_NAMED = 400
"""Characters for the files that are named in a line."""

_SUM = re.compile(r"([0-9a-f]{64})  (.+)")

Contents = Mapping[str, tuple[str, int]]
"""By path, what a file holds (its SHA-256) or a link points to, and when it was changed, in seconds since 1970."""


def contents_command(path: str) -> Command:
    """Asks a host for the contents of a folder."""
    return Command(argv=("find", path, *WHOLE), keeps=KEPT)


def contents(path: str, result: Result) -> Contents:
    """The answer; raises Unreadable for anything else."""
    if result.exit_status or result.cut_short:
        reason = "the list is too long" if result.cut_short else result.complaint
        raise Unreadable(f"`{result.command}` exited with {result.exit_status}: {reason}")
    lines = result.stdout.splitlines()
    (there,) = listing(filterfalse(_SUM.fullmatch, lines), path)
    sums = {found[2].removeprefix(f"{path}/"): found[1] for line in lines if (found := _SUM.fullmatch(line))}
    if "." not in there:
        raise Unreadable(f"`{result.command}` says nothing, not even of the folder itself")
    return {name: (sums.get(name, one.target), one.changed) for name, one in there.items() if one.kind != "d"}


def newer(there: Contents, proposed: Contents) -> tuple[str, ...]:
    """The paths of what is newer there, in order."""
    differing = (name for name, (content, _) in there.items() if proposed.get(name, ("", 0))[0] != content)
    times = ({name: changed for name, (_, changed) in side.items()} for side in (there, proposed))
    return tuple(sorted(later(differing, *times)))


def differing(there: Contents, proposed: Contents) -> str:
    """Which files a proposed configuration changes, adds and removes, in a line."""
    held, wanted = ({path: content for path, (content, _) in side.items()} for side in (there, proposed))
    changed = sorted(path for path in held.keys() & wanted.keys() if held[path] != wanted[path])
    added, removed = sorted(wanted.keys() - held.keys()), sorted(held.keys() - wanted.keys())
    return f"changed {in_short(changed)}, added {in_short(added)}, removed {in_short(removed)}"


def later(differing: Iterable[str], there: Mapping[str, int], proposed: Mapping[str, int]) -> frozenset[str]:
    """Of the paths that differ, those whose time there is later.

    What is there alone counts when it is later than all that is proposed: nobody who wrote that can have seen it.
    """
    latest = max(proposed.values(), default=0)
    return frozenset(path for path in differing if path in there and there[path] > proposed.get(path, latest))


def in_short(paths: Sequence[str]) -> str:
    """How many, and the first of them by name; `none`."""
    if not paths:
        return "none"
    named: list[str] = []
    for path in paths:
        if named and sum(map(len, named)) + len(path) > _NAMED:
            break
        named.append(path)
    left = len(paths) - len(named)
    return f"{len(paths)} ({', '.join(named)}{f' and {left} more' if left else ''})"
