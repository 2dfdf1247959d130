"""Who is on a backend: counted on the directors by their own list, and told apart by name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.hosts.command import Result
from bot.core.readings.probes import PROBES
from bot.core.readings.sessions import KEPT, NAMES, matched
from bot.core.runs.events import Seen
from bot.errors import Unreadable
from tests.build import NOON, target

ROW = "{user}\timap\t198.51.100.7\t{ip}\t143"
HEAD = "username\tproto\tsrc ip\tdest ip\tport"
HERE, ELSEWHERE = "192.0.2.13", "192.0.2.130"


def counted(folder: Path, listed: str, *, exit_status: int = 0, stderr: str = "") -> Result:
    """What the script prints where doveadm says that."""
    doveadm = folder / "doveadm"
    (folder / "listed").write_text(listed)
    said = f"printf '%s' '{stderr}' >&2; " if stderr else ""
    doveadm.write_text(f"#!/bin/sh\ncat {folder}/listed; {said}exit {exit_status}\n")
    doveadm.chmod(0o755)
    command = PROBES["proxied-sessions"].command(target(), {})
    path = {"PATH": f"{folder}:{os.environ['PATH']}"}
    ran = subprocess.run(command.argv, capture_output=True, text=True, env=path, check=False)
    return result(ran.stdout, ran.returncode, ran.stderr, kept=command.keeps)


def result(stdout: str, exit_status: int = 0, stderr: str = "", *, kept: int = KEPT) -> Result:
    size = len(stdout.encode())
    return Result(
        host="director-1",
        command="sh",
        exit_status=exit_status,
        stdout=stdout[:kept],
        stderr=stderr,
        stdout_bytes=size,
        began=NOON,
        took=timedelta(0),
        kept=kept,
    )


def proxied(answer: Result) -> dict[str, str | int | bool]:
    return dict(PROBES["proxied-sessions"].read(target(), {}, answer))


def test_sessions_to_the_backend_are_counted_and_its_users_named_once(tmp_path: Path) -> None:
    """By the column of that name, wherever it stands; an address that begins alike is another backend's."""
    rows = [
        ROW.format(user=user, ip=ip) for user, ip in (("ann", HERE), ("bob", ELSEWHERE), ("ann", HERE), ("c d", HERE))
    ]
    read = proxied(counted(tmp_path, "\n".join([HEAD, *rows, ""])))
    assert read == {"sessions": 3, NAMES: "ann\nc d"}


def test_nobody_is_no_session_and_a_list_without_its_columns_says_nothing(tmp_path: Path) -> None:
    assert proxied(counted(tmp_path, f"{HEAD}\n"))["sessions"] == 0
    assert proxied(counted(tmp_path, "\n"))["sessions"] == 0, "what it prints where there is no session at all"
    for listed in ("username\tproto\n", "nonsense\n"):
        with pytest.raises(Unreadable):
            proxied(counted(tmp_path, listed))


@pytest.mark.parametrize(
    ("exit_status", "stderr"), [(75, ""), (0, "Error: LIST-FULL failed: ipc connect failed"), (1, "sudo: no")]
)
def test_a_list_that_is_not_whole_is_never_none(tmp_path: Path, exit_status: int, stderr: str) -> None:
    """A login process that does not answer is said on standard error, and doveadm exits with 0."""
    with pytest.raises(Unreadable):
        proxied(counted(tmp_path, "\n", exit_status=exit_status, stderr=stderr))


def test_many_thousand_sessions_are_counted_and_a_cut_answer_is_unreadable(tmp_path: Path) -> None:
    """Seen: each name was added to one text, and sixty thousand took a director half a minute."""
    rows = [ROW.format(user=f"user{number}@example.org", ip=HERE) for number in range(60_000)]
    answer = counted(tmp_path, "\n".join([HEAD, *rows, ""]))
    assert proxied(answer)["sessions"] == 60_000
    with pytest.raises(Unreadable):
        proxied(result(answer.stdout, kept=1_000))


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
