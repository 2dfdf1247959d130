"""What keeps a change from running late, twice at once, or on another host: it is sent in a fence.

A command that was given up may lie in a network's buffers and reach its host half a minute later. Only the host can
refuse it then: by its own clock, and by a lock that the one before it still holds.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from bot.core.hosts.command import Command

LOCKED = 94
"""The exit status of a fenced command that found the one before it still running, and did nothing."""

LATE = 95
"""The exit status of a fenced command that came too late, and did nothing."""


@dataclass(frozen=True, kw_only=True)
class Fence:
    """Over which connection a change goes, until when it may begin, and behind which lock.

    `not_after`: seconds since 1970 by the host's own clock. `lock`: a file on the host; None on directors, where a
    second command must be able to run beside one that hangs.
    """

    connection: str
    not_after: int
    lock: str | None


def fenced(line: str, fence: Fence) -> str:
    """The line as it is sent; the fence stands outside of sudo."""
    script = f'[ "$(date +%s)" -lt {fence.not_after} ] || exit {LATE}; exec {line}'
    guarded = f"sh -c {shlex.quote(script)}"
    return f"flock -n -E {LOCKED} {shlex.quote(fence.lock)} {guarded}" if fence.lock else guarded


CLOCK = Command(argv=("date", "+%s"), root=False, ahead=True)
"""A director's clock."""


def lock_question(backend: str) -> Command:
    """A backend's clock, and the state of the files that could be its lock: 0 free, 94 held, anything else unusable."""
    script = (
        f'date +%s; flock -n -E {LOCKED} "$HOME/.dovecot-bot-$0.lock" true; echo "$? $HOME/.dovecot-bot-$0.lock";'
        f' flock -n -E {LOCKED} "/run/lock/dovecot-bot-$0.lock" true; echo "$? /run/lock/dovecot-bot-$0.lock"'
    )
    return Command(argv=("sh", "-c", script, backend), root=False, ahead=True)


@dataclass(frozen=True, kw_only=True)
class Locks:
    """A backend's answer: its clock, and of each file that could be the lock whether it is free."""

    now: int
    free: dict[str, bool]


def read_clock(text: str) -> int | None:
    """A host's clock in seconds since 1970, None for anything else."""
    line = text.strip()
    return int(line) if re.fullmatch(r"[0-9]{1,12}", line) else None


def read_locks(text: str) -> Locks | None:
    """The answer to lock_question, None for anything else."""
    first, *rest = text.splitlines() or [""]
    now = read_clock(first)
    if now is None or len(rest) != 2:
        return None
    states = [line.partition(" ") for line in rest]
    usable = {
        path: status == "0" for status, _, path in states if status in {"0", str(LOCKED)} and path.startswith("/")
    }
    return Locks(now=now, free=usable)
