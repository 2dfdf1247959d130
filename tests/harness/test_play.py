"""A played run: a crash leaves on the hosts what it leaves in the world, and what is dead does nothing any more."""

from __future__ import annotations

import pytest

from bot.core.runs import events as fact
from tests.build import THIRD
from tests.chaos.evidence import bare
from tests.harness.attacks import KINDS
from tests.harness.play import Played, played
from tests.harness.sweep import good_run

STOP = "hosts.run backend-3 systemctl stop dovecot"


def struck(kind: str, call: str) -> Played:
    """The run with this attack at the first call of that name."""
    return played(KINDS[kind].does, good_run().calls.index(call))


@pytest.mark.parametrize("kind", ["crash-before", "crash-during", "crash-after"])
def test_a_bot_that_crashes_around_a_stop_goes_on_and_stops_once(kind: str) -> None:
    seen = struck(kind, STOP).evidence
    assert seen.outcome == "done"
    assert len([one for one in seen.begun if one.text == "systemctl stop dovecot"]) == 1
    done = (one.fact for one in seen.entries if isinstance(one.fact, fact.StepDone))
    how = [one.how for one in done if one.step == "stop-dovecot"]
    assert how == ([fact.How.RAN] if kind == "crash-before" else [fact.How.LOOKED_UP])


def test_nothing_is_called_between_a_crash_and_the_next_start() -> None:
    seen = struck("crash-before", STOP).evidence
    assert seen.struck is not None
    after = [one.sent for one in seen.begun if one.sent >= seen.struck]
    assert (min(after) - seen.struck).total_seconds() >= 10


def test_a_run_that_crashed_before_it_was_written_down_is_asked_for_again() -> None:
    seen = played(KINDS["crash-before"].does, 0).evidence
    assert seen.outcome == "done"


def test_an_abort_ends_the_run_on_the_way_back_and_not_now_only_holds_it() -> None:
    assert struck("abort", "journal.append WaitBegan:drain").evidence.outcome == "went back"
    assert struck("not-now", "journal.append ApprovalAsked:approve-flush").evidence.outcome == "done"


def test_who_waits_longer_is_heard_and_the_run_comes_to_its_end() -> None:
    seen = struck("wait-longer", "journal.append ApprovalAsked:approve-flush").evidence
    assert [one.fact.by for one in seen.entries if isinstance(one.fact, fact.LongerWaitChosen)] == [THIRD]
    assert seen.outcome == "done"


def test_what_lies_in_the_network_comes_later_than_it_was_sent() -> None:
    """It begins then, or its fence refuses it then."""
    seen = struck("late-crash", "hosts.run director-1 doveadm director down 192.0.2.13").evidence
    assert seen.struck is not None
    came = [*(one.ran for one in seen.begun if (one.ran.at - one.sent).total_seconds() > 20), *seen.refused]
    assert [(bare(ran.command), ran.host) for ran in came] == [("doveadm director down 192.0.2.13", "director-1")]
    assert (came[0].at - seen.struck).total_seconds() >= 26


def test_a_name_that_leads_elsewhere_shows_in_where_things_really_ran() -> None:
    """Whoever keeps the law refuses to change anything there; that something was looked at is no harm."""
    seen = struck("leads-elsewhere", STOP).evidence
    assert ("backend-2", "backend-3") in {(one.ran.host, one.meant) for one in seen.begun}
