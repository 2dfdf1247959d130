"""The judges of the laws that are shared with the harness: each, broken in a made-up log, is seen to be broken."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.practice.values import Loss
from tests.chaos.evidence import Evidence, Sample
from tests.chaos.made import BLINK, EVERYBODY, command, judged, made_evidence, with_log


@pytest.fixture
def good() -> Evidence:
    return made_evidence()


def _others_gone(seen: Evidence, before: str) -> Evidence:
    """Long before that command both other backends have gone, by the case's own hand."""
    since = command(seen, before).at - timedelta(minutes=1)
    alone = Sample(at=since, out=EVERYBODY, active=EVERYBODY, mapped=frozenset({"backend-3"}))
    return replace(seen, samples=(*(one for one in seen.samples if one.at < since), alone), others_gone=True)


@pytest.mark.parametrize("part", ["director update 192.0.2.13 0", "systemctl stop dovecot", "director flush"])
def test_taking_users_from_the_last_usable_backend_is_seen(good: Evidence, part: str) -> None:
    said = judged(_others_gone(good, part))
    assert any(one.startswith("last_taken") and part in one for one in said), said


def test_others_that_went_only_just_before_the_command_could_not_be_seen(good: Evidence) -> None:
    """The look that precedes a command is a moment older than the command."""
    flush = command(good, "director flush")
    mapped = frozenset({"backend-3"})
    gone = Sample(at=flush.at - BLINK / 2, out=EVERYBODY, active=EVERYBODY - mapped, mapped=mapped)
    earlier = (one for one in good.samples if one.at < gone.at)
    assert judged(replace(good, samples=(*earlier, gone), others_gone=True)) == []


def test_without_a_director_that_knows_the_ring_nobody_can_say_who_is_the_last(good: Evidence) -> None:
    gone = _others_gone(good, "director flush")
    unknown = tuple(replace(one, out=frozenset(), known=bool(one.usable)) for one in gone.samples)
    assert not any(one.startswith("last_taken") for one in judged(replace(gone, samples=unknown)))


@pytest.mark.parametrize(
    ("part", "host"),
    [("NEEDRESTART_SUSPEND", "backend-2"), ("NEEDRESTART_SUSPEND", "director-1"), ("director down", "director-2")],
)
def test_a_change_on_another_host_than_was_meant_is_seen(good: Evidence, part: str, host: str) -> None:
    """The fact says which host was meant, the host's own log which one it was."""
    there = replace(command(good, part), host=host)
    log = tuple(there if ran.command == there.command else ran for ran in good.log)
    said = judged(replace(good, log=log))
    assert any(one.startswith("wrong_host") and part in one for one in said), said


def test_what_the_watch_sends_again_within_the_same_second_is_meant_for_its_own_director(good: Evidence) -> None:
    """Seen: a director restarts right after the backend was set down on the other one; both fences are the same."""
    down = command(good, "director down")
    again = replace(down, host="director-2")
    came = fact.Ran(
        host="director-2",
        command=down.command,
        exit_status=0,
        took=BLINK,
        output="",
        output_bytes=0,
        changes=True,
    )
    assert down.not_after is not None
    back = fact.RingSetBack(step="director-down", holds=True, reason="", not_after=down.not_after, ran=(came,))
    *_, last = good.entries
    told = replace(good, entries=(*good.entries, replace(last, seq=last.seq + 1, fact=back)))
    assert not any(one.startswith("wrong_host") for one in judged(with_log(told, again)))
    assert any(one.startswith("wrong_host") for one in judged(with_log(good, again)))


def test_a_change_that_names_another_backend_is_seen(good: Evidence) -> None:
    """Also where the case itself has taken the others out, so that the samples tell nothing."""
    zero = command(good, "director update 192.0.2.13 0")
    other = replace(zero, command=zero.command.replace("192.0.2.13", "192.0.2.12"))
    said = judged(replace(with_log(good, other), others_gone=True))
    assert any(one.startswith("two_out") and "another backend" in one for one in said), said


def test_a_metacache_that_is_deleted_before_it_was_flushed_is_seen(good: Evidence) -> None:
    lost = Loss(at=command(good, "-delete").at, host="backend-3", path="/var/dovecot/vmail/user-001/m.1")
    assert any(one.startswith("deleted_unflushed: 1 files") for one in judged(replace(good, losses=(lost,))))


def test_a_command_that_begins_after_its_time_is_seen(good: Evidence) -> None:
    """Whatever its fence was to prevent."""
    stop = command(good, "systemctl stop dovecot")
    assert stop.not_after is not None
    stop.at += timedelta(seconds=30)
    stop.finished = stop.at + BLINK
    assert any(one.startswith("late") and "after its not-after" in one for one in judged(good))


def test_a_command_that_comes_within_its_time_but_after_its_opposite_is_seen(good: Evidence) -> None:
    """vhosts 0 lay in the network while the backend was given back."""
    back, zero = command(good, "update 192.0.2.13 100"), command(good, "update 192.0.2.13 0")
    assert back.not_after is not None
    overtaken = replace(zero, at=back.at + BLINK, finished=back.at + 2 * BLINK, not_after=back.not_after - 2)
    assert any(one.startswith("late") and "update 192.0.2.13 0" in one for one in judged(with_log(good, overtaken)))
