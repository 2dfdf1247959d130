"""What is sent to hosts, run by a real shell, and what real programs print: locks, sessions counted, files listed."""

from __future__ import annotations

import grp
import os
import pwd
import shlex
import subprocess
import time
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.hosts.command import Result
from bot.core.hosts.fence import LATE, LOCKED, Fence, fenced, lock_question, read_locks
from bot.core.plans.listing import FORMAT, ListedFile, listing
from bot.core.readings.probes import PROBES
from bot.core.readings.sessions import KEPT, NAMES
from bot.errors import Unreadable
from tests.build import NOON, target

ROW = "{user}\timap\t198.51.100.7\t{ip}\t143"
HEAD = "username\tproto\tsrc ip\tdest ip\tport"
HERE, ELSEWHERE = "192.0.2.13", "192.0.2.130"


def fence(lock: str | None = None, *, seconds: int = 60) -> Fence:
    return Fence(connection="backend-3#1", not_after=int(time.time()) + seconds, lock=lock)


def sh(line: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], input=stdin, capture_output=True, text=True, check=False)


# what a change is sent in


@pytest.mark.parametrize("locked", [True, False])
def test_every_argument_arrives_as_it_was_given(tmp_path: Path, *, locked: bool) -> None:
    """Two shells read it one after the other, and neither may find anything to do in it."""
    words = ("%s|", "a b", "$(reboot)", "`id`", "'", '"', "\\", "*", "$HOME", "!", ";", "", "ü", "a\nb", "-n", "&")
    around = fence(str(tmp_path / "a lock's file") if locked else None)
    assert sh(fenced(shlex.join(("printf", *words)), around)).stdout == "".join(f"{word}|" for word in words[1:])


def test_standard_input_and_the_exit_status_pass_through(tmp_path: Path) -> None:
    around = fence(str(tmp_path / "lock"))
    assert sh(fenced("cat", around), "a tree").stdout == "a tree"
    assert sh(fenced("sh -c 'exit 75'", around)).returncode == 75


def test_what_comes_late_is_not_run(tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    for lock in (str(tmp_path / "lock"), None):
        assert sh(fenced(f"touch {ran}", fence(lock, seconds=0))).returncode == LATE
    assert not ran.exists()


def test_a_host_that_cannot_tell_the_time_refuses(tmp_path: Path) -> None:
    (tmp_path / "sh").symlink_to("/bin/sh")
    ran = tmp_path / "ran"
    assert sh(f"PATH={tmp_path}; {fenced(f'/usr/bin/touch {ran}', fence())}").returncode == LATE
    assert not ran.exists()


def test_while_one_runs_another_is_not_begun(tmp_path: Path) -> None:
    around, ran = fence(str(tmp_path / "lock")), tmp_path / "ran"
    with subprocess.Popen(["sh", "-c", fenced("cat", around)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as one:
        assert one.stdin is not None
        assert one.stdout is not None
        one.stdin.write(b"x")
        one.stdin.flush()
        one.stdout.read(1)  # it has begun
        assert sh(fenced(f"touch {ran}", around)).returncode == LOCKED
        one.communicate()
    assert not ran.exists()
    assert sh(fenced(f"touch {ran}", around)).returncode == 0


def test_a_host_is_asked_for_its_clock_and_both_locks(tmp_path: Path) -> None:
    """As a shell answers it, a home that cannot be written to included."""
    asked, shared = lock_question(tmp_path.name).text, Path(f"/run/lock/dovecot-bot-{tmp_path.name}.lock")
    try:
        for home, usable in ((tmp_path, True), (tmp_path / "nowhere", False)):
            read = read_locks(sh(f"HOME={home}; export HOME; {asked}").stdout)
            assert read is not None
            assert abs(read.now - time.time()) < 60
            assert (f"{home}/.dovecot-bot-{tmp_path.name}.lock" in read.free) is usable
            assert read.free.get(str(shared), True)
    finally:
        shared.unlink(missing_ok=True)


# sessions, counted on a director


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


# files, listed


def test_each_entry_is_read_with_its_owner_mode_time_and_target(tmp_path: Path) -> None:
    one, two = tmp_path / "dovecot", tmp_path / "dovecot.r1.proposed"
    (one / "conf.d").mkdir(parents=True)
    two.mkdir()
    (one / "conf.d/größe .conf").write_text("x")
    (one / "conf.d/größe .conf").chmod(0o640)
    os.utime(one / "conf.d/größe .conf", (1_700_000_000.75, 1_700_000_000.75))
    (two / "link").symlink_to("/etc/ssl/a.pem")
    printed = subprocess.run(["find", one, two, "-printf", FORMAT], capture_output=True, text=True, check=True).stdout
    before, after = listing(printed.splitlines(), str(one), str(two))
    assert set(before) == {".", "conf.d", "conf.d/größe .conf"}
    assert before["conf.d/größe .conf"] == ListedFile(
        kind="f",
        mode=0o640,
        owner=pwd.getpwuid(os.getuid()).pw_name,
        group=grp.getgrgid(os.getgid()).gr_name,
        changed=1_700_000_000,
    )
    assert before["conf.d"].kind == "d"
    assert (after["link"].kind, after["link"].target) == ("l", "/etc/ssl/a.pem")
