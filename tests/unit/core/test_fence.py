"""What a change is sent in, run by a real shell here; and what hosts answer about their clocks and locks."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest

from bot.core.hosts.fence import LATE, LOCKED, Fence, Locks, fenced, lock_question, read_clock, read_locks


def fence(lock: str | None = None, *, seconds: int = 60) -> Fence:
    return Fence(connection="backend-3#1", not_after=int(time.time()) + seconds, lock=lock)


def sh(line: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", "-c", line], input=stdin, capture_output=True, text=True, check=False)


# as it is sent


def test_a_fence_stands_outside_of_sudo() -> None:
    """The fence stands outside of sudo, so that no sudo rule has to know of it."""
    around = Fence(connection="c", not_after=1_800_000_000, lock="/home/bot/.dovecot-bot-backend-3.lock")
    assert fenced("sudo -n -- systemctl stop dovecot", around) == (
        "flock -n -E 94 /home/bot/.dovecot-bot-backend-3.lock sh -c"
        """ '[ "$(date +%s)" -lt 1800000000 ] || exit 95; exec sudo -n -- systemctl stop dovecot'"""
    )


def test_a_director_is_sent_no_lock() -> None:
    assert fenced("doveadm director up 192.0.2.13", Fence(connection="c", not_after=18, lock=None)) == (
        """sh -c '[ "$(date +%s)" -lt 18 ] || exit 95; exec doveadm director up 192.0.2.13'"""
    )


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


# what hosts answer


def test_a_clock_is_read_and_anything_else_is_none() -> None:
    assert read_clock("1764000000\n") == 1_764_000_000
    for text in ("", "date: not found", "1764000000\n1764000001", "-1", "17 64", "1764000000.5", "9" * 13, "١٢٣"):
        assert read_clock(text) is None, text


@pytest.mark.parametrize(
    ("states", "free"),
    [
        (("0 /home/bot/a", "0 /run/lock/a"), {"/home/bot/a": True, "/run/lock/a": True}),
        (("94 /home/bot/a", "0 /run/lock/a"), {"/home/bot/a": False, "/run/lock/a": True}),
        (("66 /home/bot/a", "0 /run/lock/a"), {"/run/lock/a": True}),
        (("0 /home/the bot/a", "73 /run/lock/a"), {"/home/the bot/a": True}),
        (("127 /home/bot/a", "127 /run/lock/a"), {}),
        (("0 a", "0 /run/lock/a"), {"/run/lock/a": True}),
    ],
)
def test_locks_are_free_or_held_or_no_use(states: tuple[str, str], free: dict[str, bool]) -> None:
    assert read_locks("\n".join(("1764000000", *states))) == Locks(now=1_764_000_000, free=free)


@pytest.mark.parametrize(
    "text", ["", "1764000000", "1764000000\n0 /a", "1\n0 /a\n0 /b\n0 /c", "never\n0 /a\n0 /b", "sh: not found\n" * 3]
)
def test_what_is_not_a_clock_and_two_locks_is_no_answer(text: str) -> None:
    assert read_locks(text) is None


def test_a_line_without_a_path_is_a_lock_that_is_no_use() -> None:
    assert read_locks("1764000000\n0\nnonsense") == Locks(now=1_764_000_000, free={})


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
