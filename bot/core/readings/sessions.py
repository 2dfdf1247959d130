"""Who has a session on the backend: those that its directors proxy to it, and those that came past them.

The directors' lists are counted on the host, as they hold the sessions of every backend. The names serve to tell the
two kinds apart; they are not kept.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from bot.core.hosts.command import Result
from bot.core.hosts.inventory import Target
from bot.core.readings.outputs import Asks, Reading
from bot.core.runs.events import Seen
from bot.errors import Unreadable

COUNTED = (
    "listed=$(doveadm -f tab proxy list) || exit $?; "
    # With no session at all it prints no header either.
    '[ -n "$listed" ] || { echo sessions 0 of 0; exit; }; '
    """printf '%s\\n' "$listed" | awk -F '\\t' -v "ip=$0" '"""
    'NR == 1 { for (i = 1; i <= NF; i++) { if ($i == "dest ip") ip_at = i; if ($i == "username") user_at = i }; next } '
    "$ip_at == ip { sessions++; if (!($user_at in seen)) { seen[$user_at]; name[++users] = $user_at } } "
    'END { if (!ip_at || !user_at) exit 3; printf "sessions %d of %d\\n", sessions, NR - 1; '
    "for (i = 1; i <= users; i++) print name[i] }"
    "'"
)
"""$0: the backend's address. Prints how many of the director's sessions go there, and whose, each once."""

KEPT = 16 * 1024 * 1024
"""Bytes that are kept: the sessions of a hundred thousand users with long names and several connections."""

NAMED = 10
"""Users who are shown by name."""

NAMES = "names"
"""The key of a reading that is dropped once the looks were put together."""

_HEAD = re.compile(r"sessions ([0-9]+) of [0-9]+")


def proxied(_target: Target, _asks: Asks, result: Result) -> Reading:
    """What a director answered; anything but a whole answer is unreadable, and never *none*."""
    head, *users = result.stdout.splitlines() or [""]
    counted = _HEAD.fullmatch(head)
    # A login process that does not answer is reported on standard error, with exit 0.
    if counted is None or result.exit_status or result.stderr.strip():
        said = result.stderr.strip()[-200:] or "it does not begin with their number"
        raise Unreadable(f"the proxied sessions cannot be counted: exit {result.exit_status}: {said}")
    return {"sessions": int(counted[1]), NAMES: "\n".join(users)}


def logged_in(_target: Target, _asks: Asks, result: Result) -> Reading:
    """What `doveadm who` printed on the backend; `past_directors` and `who` are filled in by `matched`."""
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    columns = {name: at for at, name in enumerate(rows[0])} if rows else {}
    if result.exit_status or not {"username", "#"} <= columns.keys():
        raise Unreadable(
            f"it cannot be seen who is logged in: exit {result.exit_status}: {result.stderr.strip()[:200]}"
        )
    try:
        sessions = [(row[columns["username"]], int(row[columns["#"]])) for row in rows[1:]]
    except (IndexError, ValueError):
        raise Unreadable("it cannot be seen who is logged in: a line has no number of sessions") from None
    names = "\n".join(f"{count} {user}" for user, count in sessions)
    return {"sessions": sum(count for _, count in sessions), "past_directors": 0, "who": "nobody", NAMES: names}


def matched(looks: Sequence[tuple[str, tuple[Seen, ...]]]) -> tuple[tuple[Seen, ...], ...]:
    """What several probes saw in one look, by their names: with who of the backend's users no director proxies to it,
    and without the lists of names.
    """
    known: set[str] = set()
    for probe, everywhere in looks:
        for seen in everywhere:
            if probe == "proxied-sessions" and seen.reading is not None:
                known.update(str(seen.reading.get(NAMES, "")).splitlines())
    return tuple(tuple(_one(probe, seen, known) for seen in everywhere) for probe, everywhere in looks)


def _one(probe: str, seen: Seen, known: set[str]) -> Seen:
    if seen.reading is None or NAMES not in seen.reading:
        return seen
    reading = {key: value for key, value in seen.reading.items() if key != NAMES}
    if probe == "sessions":
        rows = [line.split(" ", 1) for line in str(seen.reading[NAMES]).splitlines()]
        past = {user: int(count) for count, user in rows if user not in known}
        more = f" and {len(past) - NAMED} more" if len(past) > NAMED else ""
        names = ", ".join(sorted(past)[:NAMED]) + more or "nobody"
        reading |= {"past_directors": sum(past.values()), "who": names}
    return replace(seen, reading=reading)
