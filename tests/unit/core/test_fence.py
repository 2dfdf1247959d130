"""What a change is sent in, and what hosts answer of their clocks and locks; tests/contract/test_shell.py runs it."""

from __future__ import annotations

import pytest

from bot.core.hosts.fence import Fence, Locks, fenced, read_clock, read_locks


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
