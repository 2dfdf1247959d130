"""Each judge catches what is planted for it, and lets a good run pass: a judge that sees nothing proves nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.practice.values import Loss, Ran
from tests.harness import judges
from tests.harness.evidence import Begun, Evidence
from tests.harness.judges import LAWS, judged
from tests.harness.sweep import good_run

SECOND = timedelta(seconds=1)


@pytest.fixture
def good() -> Evidence:
    return good_run().evidence


def first(seen: Evidence, text: str) -> Begun:
    return next(one for one in seen.begun if text in one.text)


def with_one(seen: Evidence, one: Begun) -> Evidence:
    """One command more, in its place by time."""
    return replace(seen, begun=tuple(sorted((*seen.begun, one), key=lambda begun: begun.ran.at)))


def changed(seen: Evidence, old: Begun, new: Begun) -> Evidence:
    return replace(seen, begun=tuple(new if one is old else one for one in seen.begun))


def again(one: Begun, after: timedelta, **other: Any) -> Begun:
    """The same command once more, a while later."""
    ran: Ran = replace(one.ran, at=one.ran.at + after, finished=None)
    return replace(one, ran=replace(ran, **other), sent=one.sent + after)


def test_a_good_run_breaks_no_law(good: Evidence) -> None:
    assert good.outcome == "done"
    assert judged(good) == []


def test_a_change_that_begins_again_without_a_look_is_repeated(good: Evidence) -> None:
    down = first(good, "director down")
    (broken,) = judges.repeated(with_one(good, again(down, timedelta(milliseconds=1))))
    assert "without a look" in broken.what


def test_a_change_of_a_backend_that_begins_while_it_still_runs_is_repeated(good: Evidence) -> None:
    stop = first(good, "systemctl stop dovecot")
    (broken,) = judges.repeated(with_one(good, again(stop, timedelta(milliseconds=100))))
    assert "while that of" in broken.what


@pytest.mark.parametrize(
    ("gate", "commands"), [("flush", {"stop", "flush"}), ("restore", {"update 192.0.2.13 100", "up"})]
)
def test_what_no_approval_stands_before_is_unapproved(good: Evidence, gate: str, commands: set[str]) -> None:
    without = tuple(one for one in good.entries if getattr(one.fact, "gate", "") != gate)
    broken = [one.what for one in judges.unapproved(replace(good, entries=without))]
    assert all(any(f"{command} " in what or f"{command}`" in what for what in broken) for command in commands)


def test_a_deletion_under_a_serving_dovecot_is_unapproved(good: Evidence) -> None:
    delete = first(good, "-delete")
    served = replace(delete.moment, serving=frozenset({"backend-3"}))
    (broken,) = judges.unapproved(changed(good, delete, replace(delete, moment=served)))
    assert "while dovecot served" in broken.what


def test_a_second_backend_taken_out_is_two_out(good: Evidence) -> None:
    zero = first(good, "director update")
    other = again(zero, SECOND, command="sudo -n -- doveadm director update 192.0.2.12 0")
    assert len(list(judges.two_out(with_one(good, other)))) == 1


def alone(seen: Evidence, since: datetime) -> Evidence:
    """The evidence of the same run, with no other backend usable from then on."""
    only = frozenset({seen.target_ip})
    moments = tuple(replace(one, usable=one.usable & only) if one.at >= since else one for one in seen.moments)
    begun = tuple(
        replace(one, moment=replace(one.moment, usable=one.moment.usable & only)) if one.ran.at >= since else one
        for one in seen.begun
    )
    return replace(seen, moments=moments, begun=begun)


def test_what_takes_users_from_the_last_backend_is_last_taken(good: Evidence) -> None:
    """Also where the ring changed only a moment ago, but before the step that came before was settled."""
    lmtp = first(good, "service stop lmtp")
    broken = [one.what for one in judges.last_taken(alone(good, lmtp.sent))]
    assert [any(text in what for what in broken) for text in ("stop dovecot", "director down", "director flush")] == [
        True,
        True,
        True,
    ]
    assert not any("stop lmtp" in what for what in broken), "nobody could see that in the look before it"
    assert len(list(judges.last_taken(alone(good, good.entries[0].at)))) == 5


def test_where_nobody_knows_the_ring_or_nobody_is_mapped_a_stop_takes_nobody(good: Evidence) -> None:
    seen = alone(good, good.entries[0].at)
    nobody = tuple(
        replace(one, moment=replace(one.moment, given=frozenset(), mapped=frozenset())) for one in seen.begun
    )
    assert not any("stop dovecot" in one.what for one in judges.last_taken(replace(seen, begun=nobody)))
    unknown = tuple(replace(one, moment=replace(one.moment, known=False)) for one in seen.begun)
    assert list(judges.last_taken(replace(seen, begun=unknown))) == []


def test_a_change_on_another_host_is_on_the_wrong_host(good: Evidence) -> None:
    stop = first(good, "systemctl stop dovecot")
    elsewhere = replace(stop, ran=replace(stop.ran, host="backend-2"))
    assert len(list(judges.wrong_host(changed(good, stop, elsewhere)))) == 1
    fenced = first(good, "systemctl show")
    look = replace(fenced, ran=replace(fenced.ran, host="backend-2", not_after=1))
    assert len(list(judges.wrong_host(changed(good, fenced, look)))) == 1, "whatever is fenced is a change"


def test_a_deleted_file_that_was_not_flushed_is_deleted_unflushed(good: Evidence) -> None:
    lost = Loss(at=good.entries[-1].at, host="backend-3", path="/var/dovecot/vmail/user-01/index")
    assert len(list(judges.deleted_unflushed(replace(good, losses=(lost,))))) == 1


def test_what_lay_somewhere_or_comes_after_its_time_is_late(good: Evidence) -> None:
    stop = first(good, "systemctl stop dovecot")
    assert list(judges.late(good)) == []
    lay = replace(stop, sent=stop.ran.at - 20 * SECOND, ran=replace(stop.ran, not_after=None))
    assert len(list(judges.late(changed(good, stop, lay)))) == 1
    over = replace(stop, ran=replace(stop.ran, not_after=int(stop.ran.at.timestamp()) - 5))
    assert len(list(judges.late(changed(good, stop, over)))) == 1


def test_what_comes_after_something_that_goes_the_other_way_is_late(good: Evidence) -> None:
    """Even in time by its fence: the backend is given users, and then an old `update 0` takes effect."""
    back = first(good, "update 192.0.2.13 100")
    text = "sudo -n -- doveadm director update 192.0.2.13 0"
    old = replace(back, sent=back.sent - SECOND, ran=replace(back.ran, command=text, at=back.ran.at + SECOND))
    assert [one.law for one in judges.late(with_one(good, old))] == ["late"]
    hung = replace(old, ran=replace(old.ran, at=back.ran.at - SECOND, finished=back.ran.at + SECOND, exit_status=0))
    hung = replace(hung, moment=replace(hung.moment, hanging=frozenset({hung.ran.host})))
    assert [one.law for one in judges.late(with_one(good, hung))] == ["late"], "it took effect when the director woke"


def with_wish(entries: tuple[Entry, ...], before: type[fact.Fact]) -> Iterator[Entry]:
    """The same facts, with a wish to go back before the first of a kind."""
    added = 0
    for entry in entries:
        if isinstance(entry.fact, before) and not added:
            added = 1
            yield replace(entry, fact=fact.GoBackAsked(by="U0CAROL", reason="stop"))
        yield replace(entry, seq=entry.seq + added)


def test_a_change_that_begins_after_a_wish_to_go_back_is_past_abort(good: Evidence) -> None:
    wished = replace(good, entries=tuple(with_wish(good.entries, fact.StepStarted)))
    assert len(list(judges.past_abort(wished))) > 1
    asked_late = replace(good, entries=tuple(with_wish(good.entries, fact.RunEnded)))
    assert list(judges.past_abort(asked_late)) == []


def test_every_law_has_its_test() -> None:
    here = "".join(name for name in globals() if name.startswith("test_"))
    assert [law for law in LAWS if law not in here] == []
