"""Who is on a backend, and who of them came past the directors; tests/contract/test_shell.py has the counting."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from bot.core.hosts.command import Result
from bot.core.readings.probes import PROBES
from bot.core.readings.sessions import NAMES, matched
from bot.core.runs.events import Seen
from bot.errors import Unreadable
from tests.build import NOON, target


def result(stdout: str) -> Result:
    return Result(
        host="backend-3",
        command="doveadm who",
        exit_status=0,
        stdout=stdout,
        stderr="",
        stdout_bytes=len(stdout),
        began=NOON,
        took=timedelta(0),
    )


def who(*rows: str) -> Seen:
    reading = PROBES["sessions"].read(target(), {}, result("\n".join(["username\t#\tproto\t(pids)\t(ips)", *rows, ""])))
    return Seen(host="backend-3", probe="sessions", reading=reading)


def told(directors: Sequence[str], *rows: str) -> tuple[object, object]:
    seen = tuple(Seen(host="d", probe="proxied-sessions", reading={"sessions": 1, NAMES: names}) for names in directors)
    (shown, *_), (one,) = matched([("proxied-sessions", seen), ("sessions", (who(*rows),))])
    assert shown.reading == {"sessions": 1}, "the names are not kept"
    assert one.reading is not None
    assert NAMES not in one.reading
    return one.reading["past_directors"], one.reading["who"]


def test_who_came_past_the_directors_is_whoever_none_of_them_shows() -> None:
    assert told(["ann", "bob"], "ann\t2\timap\t(1)\t(::1)", "eve\t3\timap\t(2)\t(::1)") == (3, "eve")
    assert told(["ann"], "ann\t1\timap\t(1)\t(::1)") == (0, "nobody")
    many = [f"u{number:02}\t1\timap\t(1)\t(::1)" for number in range(12)]
    assert told([""], *many) == (12, ", ".join(f"u{number:02}" for number in range(10)) + " and 2 more")


@pytest.mark.parametrize("text", ["", "username\n", "username\t#\nann\tmany\n"])
def test_what_is_no_list_of_who_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        PROBES["sessions"].read(target(), {}, result(text))
