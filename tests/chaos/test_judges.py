"""The judges themselves: a good run passes them all, and each law, broken in a made-up log, is seen to be broken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.practice.values import FailedLogin, Ran
from tests.build import target
from tests.chaos.evidence import Evidence, Sample
from tests.chaos.judges import in_take_down
from tests.chaos.made import BLINK, EVERYBODY, again, command, judged, made_evidence, with_log
from tests.chaos.threads import NEVER_BEGUN

FIRST_LOOKS = 4
"""The facts up to here are of the first stage, which only looks."""


@pytest.fixture
def good() -> Evidence:
    return made_evidence()


def test_a_good_run_breaks_no_law(good: Evidence) -> None:
    """Or every other test here would prove nothing."""
    assert judged(good) == []


# repeated


def test_a_change_that_begins_again_without_a_look_is_seen(good: Evidence) -> None:
    flush = command(good, "director flush")
    said = judged(with_log(good, again(flush, 1.5 * BLINK)))
    assert len(said) == 1
    assert said[0].startswith("repeated: doveadm director flush")
    assert "without a look" in said[0]


def test_a_look_at_something_else_does_not_count_as_a_look(good: Evidence) -> None:
    """Between the two there is a probe, but of another step's effect."""
    stop = replace(command(good, "systemctl stop dovecot"), exit_status=1)
    other = Ran(at=stop.at + 1.2 * BLINK, host="backend-3", command="dovecot --version", exit_status=0)
    said = judged(with_log(good, other, again(stop, 1.5 * BLINK)))
    assert any("without a look" in one for one in said)


def test_a_change_that_had_succeeded_and_runs_again_after_the_look_is_seen(good: Evidence) -> None:
    """apt runs twice although the look between showed that it was done."""
    said = judged(with_log(good, again(command(good, "NEEDRESTART_SUSPEND"), 5 * BLINK)))
    assert len(said) == 1
    assert "although that of" in said[0]


def test_a_change_that_begins_while_the_first_still_runs_is_seen(good: Evidence) -> None:
    """A command whose connection broke runs on, on its host."""
    apt = command(good, "NEEDRESTART_SUSPEND")
    apt.finished = apt.at + 20 * BLINK
    assert any("still ran" in one for one in judged(with_log(good, again(apt, 5 * BLINK))))


def test_a_change_of_which_nothing_can_be_seen_may_run_again_once_the_first_has_ended(good: Evidence) -> None:
    """The bot was killed once it had sent it, and cannot know how it ended."""
    asked = good.entries[0].fact
    assert isinstance(asked, fact.RunRequested)
    (step,) = [one for one in asked.plan.changes if one.name == "download-packages-of-before"]
    assert step.repeatable
    assert not step.action.done_when
    ran = command(good, step.action.command.text)
    assert judged(with_log(good, again(ran, 5 * BLINK))) == []
    known = judged(with_log(good, again(ran, timedelta(seconds=1))))
    assert any("although that of" in one and "was recorded as done" in one for one in known)
    ran.finished = ran.at + 20 * BLINK
    assert any("still ran" in one for one in judged(with_log(good, again(ran, 5 * BLINK))))


def test_a_change_that_failed_may_run_again_after_a_look(good: Evidence) -> None:
    apt = command(good, "NEEDRESTART_SUSPEND")
    apt.exit_status = 100
    assert judged(with_log(good, again(apt, 5 * BLINK))) == []


def test_a_change_of_the_ring_may_be_made_again_where_somebody_else_changed_the_ring(good: Evidence) -> None:
    twice = with_log(good, again(command(good, "director down"), 5 * BLINK))
    assert any("had succeeded" in one for one in judged(twice))
    assert judged(replace(twice, ring_disturbed=True)) == []


def test_after_a_kill_in_the_middle_the_look_that_counts_is_the_one_after_the_kill(good: Evidence) -> None:
    apt = command(good, "NEEDRESTART_SUSPEND")
    apt.exit_status, apt.finished = 1, apt.at + 20 * BLINK
    second = with_log(good, again(apt, 5 * BLINK))
    assert judged(replace(second, interrupted=(apt.at + BLINK / 2,))) == []


def test_a_second_command_may_run_beside_one_on_a_director_that_hangs(good: Evidence) -> None:
    """A hanging director costs seconds, not minutes; without one it is a repeat of what still runs."""
    down = command(good, "director down")
    down.finished = down.at + 60 * BLINK
    second = replace(again(down, 5 * BLINK), finished=down.at + 6 * BLINK)
    twice = replace(with_log(good, second), ring_disturbed=True)
    assert any("still ran" in one for one in judged(twice))
    before, after = ([one for one in good.samples if (one.at <= down.at) is early] for early in (True, False))
    hanging = replace(before[-1], at=down.at - BLINK / 4, hanging=frozenset({"director-2"}))
    assert judged(replace(twice, samples=(*before, hanging, *after))) == []


def test_what_a_boot_undid_may_be_done_again(good: Evidence) -> None:
    mask = command(good, "systemctl mask")
    twice = with_log(good, again(mask, 5 * BLINK))
    assert any("had succeeded" in one for one in judged(twice))
    assert judged(replace(twice, reboots=(mask.at + 2 * BLINK,))) == []


# unapproved


@pytest.mark.parametrize("part", ["systemctl stop dovecot", "service stop lmtp", "director flush"])
def test_a_stop_or_a_flush_before_its_click_is_seen(good: Evidence, part: str) -> None:
    flush = next(click for click in good.clicks if click.gate == "flush")
    early = replace(flush, at=command(good, part).at + BLINK)
    said = judged(replace(good, clicks=(early, *(one for one in good.clicks if one.gate != "flush"))))
    assert any(one.startswith("unapproved") and part in one for one in said)


@pytest.mark.parametrize("part", ["director update 192.0.2.13 100", "director up"])
def test_vhosts_or_up_without_the_restore_click_are_seen(good: Evidence, part: str) -> None:
    only = tuple(click for click in good.clicks if click.gate != "restore")
    assert any(one.startswith("unapproved") and part in one for one in judged(replace(good, clicks=only)))


def test_not_now_is_no_approval(good: Evidence) -> None:
    put_off = tuple(replace(click, action="not_now") for click in good.clicks)
    assert sum(one.startswith("unapproved") for one in judged(replace(good, clicks=put_off))) == 5


def test_a_delete_while_dovecot_runs_is_seen_unless_the_guard_refused_it(good: Evidence) -> None:
    delete = command(good, "-delete")
    started = replace(good, samples=(*good.samples, Sample(at=delete.at - BLINK, out=frozenset(), active=EVERYBODY)))
    assert any("while dovecot was active" in one for one in judged(started))
    delete.exit_status = 97
    assert judged(started) == []


def test_a_stage_that_begins_before_people_could_see_it_is_seen(good: Evidence) -> None:
    """Slack was away, and the bot went on."""
    drain = next(one for one in good.thread if one.text.startswith("Stage 3 of"))
    drain.ts = f"{(command(good, 'director update').at + BLINK).timestamp():.6f}"
    assert any("before anybody could see stage drain" in one for one in judged(good))


# two out


def test_two_backends_that_are_out_at_the_same_moment_are_seen(good: Evidence) -> None:
    both = Sample(at=good.entries[9].at, out=frozenset({"backend-2", "backend-3"}), active=EVERYBODY)
    assert any(one.startswith("two_out") for one in judged(replace(good, samples=(*good.samples, both))))


def test_a_change_on_a_backend_of_no_run_is_seen(good: Evidence) -> None:
    stop = replace(command(good, "systemctl stop dovecot"), host="backend-2")
    assert any("no host of this run" in one for one in judged(with_log(good, stop)))


# lost

Breaking = Callable[[Evidence], Evidence]


def _without_a_line(seen: Evidence) -> Evidence:
    return replace(seen, thread=(*seen.thread[:7], *seen.thread[8:]))


def _out_of_order(seen: Evidence) -> Evidence:
    return replace(seen, thread=(*seen.thread[:7], seen.thread[8], seen.thread[7], *seen.thread[9:]))


def _told_twice(seen: Evidence) -> Evidence:
    return replace(seen, thread=(*seen.thread[:8], seen.thread[7], *seen.thread[8:]))


def _two_roots(seen: Evidence) -> Evidence:
    return replace(seen, roots=seen.roots * 2)


def _file_twice(seen: Evidence) -> Evidence:
    return replace(seen, files=seen.files * 2)


def _no_record(seen: Evidence) -> Evidence:
    return replace(seen, files=())


def _renumbered(seen: Evidence, place: int, *more: Entry) -> Evidence:
    entries = (*seen.entries[:place], *more, *seen.entries[place:])
    return replace(seen, entries=tuple(replace(entry, seq=seq) for seq, entry in enumerate(entries, start=1)))


def _asked_again(seen: Evidence) -> Evidence:
    place = next(at for at, entry in enumerate(seen.entries) if isinstance(entry.fact, fact.ApprovalAsked))
    return _renumbered(seen, place, seen.entries[place])


def _shown_again(seen: Evidence) -> Evidence:
    question = next(one for one in seen.thread if "Approval needed" in one.text)
    place = seen.thread.index(question)
    other = replace(question, metadata={"event_payload": {"run": "r2025a", "seq": place, "part": 1}})
    return replace(seen, thread=(*seen.thread, other))


def _waits_again(seen: Evidence) -> Evidence:
    place = next(at for at, entry in enumerate(seen.entries) if isinstance(entry.fact, fact.WaitBegan))
    return _renumbered(seen, place, seen.entries[place])


def _waits_too_short(seen: Evidence) -> Evidence:
    place = next(at for at, entry in enumerate(seen.entries) if isinstance(entry.fact, fact.WaitBegan))
    early = replace(seen.entries[place + 1], at=seen.entries[place].at + BLINK)
    return replace(seen, entries=(*seen.entries[: place + 1], early, *seen.entries[place + 2 :]))


def _stopped_too_early(seen: Evidence) -> Evidence:
    return replace(seen, drain=timedelta(hours=1))


def _never_ended(seen: Evidence) -> Evidence:
    return replace(seen, entries=seen.entries[:-1], thread=seen.thread[:-1], outcome=None)


def _ended_otherwise(seen: Evidence) -> Evidence:
    return replace(seen, outcome="aborted")


def _backend_left_out(seen: Evidence) -> Evidence:
    return replace(seen, unusual=("at the end director-2 has backend-3 at 0, up",))


def _unwatched(seen: Evidence) -> Evidence:
    forgot = replace(seen.samples[-1], at=command(seen, "director flush").at, usable=EVERYBODY)
    return replace(seen, samples=(*seen.samples, forgot))


def _login_failed(seen: Evidence) -> Evidence:
    return replace(seen, failed_logins=(FailedLogin(at=seen.entries[3].at, user="user-001", backend="192.0.2.13"),))


@pytest.mark.parametrize(
    ("breaking", "said"),
    [
        (_without_a_line, "is not in the thread"),
        (_out_of_order, "out of order"),
        (_told_twice, "is told twice"),
        (_two_roots, "fact 1, part 0, is told twice"),
        (_file_twice, "was posted 2 times"),
        (_no_record, "the change record was not posted"),
        (_asked_again, "is asked again"),
        (_shown_again, "stands 2 times in the thread"),
        (_waits_again, "began again"),
        (_waits_too_short, "ended before its date"),
        (_stopped_too_early, "before the drain had passed"),
        (_never_ended, "the run did not end"),
        (_ended_otherwise, "the run ended: aborted"),
        (_backend_left_out, "at the end director-2"),
        (_unwatched, "gave users to the backend that is out"),
        (_login_failed, "a login failed outside of the take-down"),
    ],
)
def test_whatever_is_lost_is_seen(good: Evidence, breaking: Breaking, said: str) -> None:
    found = judged(breaking(good))
    assert any(one.startswith("lost: ") and said in one for one in found), found


def test_a_repeat_that_says_so_is_no_loss(good: Evidence) -> None:
    """Slack could not be asked whether it had taken the first one; the mark may be gone after an edit."""
    marked = replace(good.thread[7], text=f"Possibly a repeat: Slack could not say. {good.thread[7].text}")
    assert judged(replace(good, thread=(*good.thread[:8], marked, *good.thread[8:]))) == []


def test_a_login_that_failed_in_the_take_down_is_not_held_against_the_run(good: Evidence) -> None:
    at = command(good, "systemctl stop dovecot").at + BLINK
    assert judged(replace(good, failed_logins=(FailedLogin(at=at, user="user-001", backend="192.0.2.13"),))) == []


def test_a_take_down_whose_users_were_forgotten_before_the_flush_lasts_until_that_was_found(good: Evidence) -> None:
    """The bot was killed as it stopped dovecot, and is up again after the users have expired."""
    log = tuple(ran for ran in good.log if "director flush" not in ran.command)
    late = command(good, "systemctl stop dovecot").at + timedelta(seconds=9)
    entries = tuple(
        replace(one, at=late) if isinstance(one.fact, fact.StepDone) and one.fact.step == "flush-users" else one
        for one in good.entries
    )
    found = replace(good, log=log, entries=entries)
    assert in_take_down(found, late - timedelta(seconds=2))
    assert in_take_down(found, late + timedelta(seconds=2))
    assert not in_take_down(found, late + timedelta(seconds=5))


def test_where_users_are_moved_first_a_login_that_failed_in_the_take_down_is_held_against_the_run(
    good: Evidence,
) -> None:
    at = command(good, "systemctl stop dovecot").at + BLINK
    first, *others = good.entries
    assert isinstance(first.fact, fact.RunRequested)
    moves = replace(first, fact=replace(first.fact, target=target(move_first=True)))
    moved = replace(good, entries=(moves, *others))
    assert judged(moved) == []
    failed = replace(moved, failed_logins=(FailedLogin(at=at, user="user-001", backend="192.0.2.13"),))
    assert any("a login failed outside of the take-down" in one for one in judged(failed))


# refused while it looked


@pytest.fixture
def refused() -> Evidence:
    """A run that has only looked: it has no thread, and whoever asked is told."""
    good = made_evidence()
    first = tuple(entry for entry in good.entries if entry.seq <= FIRST_LOOKS)
    end = fact.RunEnded(outcome=fact.Outcome.REFUSED, reason="backend-2 is out")
    entries = (*first, replace(first[-1], seq=FIRST_LOOKS + 1, fact=end))
    told = ("Looking at backend-3 …", f"Run r2025a on backend-3 {NEVER_BEGUN}.")
    may_end = frozenset({"refused"})
    return Evidence(entries=entries, log=(), thread=(), alone=told, may_end=may_end, outcome="refused")


def test_a_run_that_was_refused_while_it_looked_is_told_to_whoever_asked_alone(refused: Evidence) -> None:
    assert judged(refused) == []


def test_a_refusal_that_nobody_was_told_is_seen(refused: Evidence) -> None:
    (said,) = judged(replace(refused, alone=refused.alone[:1]))
    assert "nobody was told" in said


def test_a_refusal_that_is_in_the_channel_is_seen(refused: Evidence, good: Evidence) -> None:
    (said,) = judged(replace(refused, roots=good.roots))
    assert "is in the channel" in said
