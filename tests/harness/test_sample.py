"""A seeded sample of attacks; `tests/run` plays every attack at every call where CI=true."""

from __future__ import annotations

from bot.core.hosts.inventory import TakeDown
from tests.harness.attacks import KINDS
from tests.harness.play import played
from tests.harness.sweep import all_cases, good_run, sample
from tests.harness.verdicts import verdicts


def test_a_whole_run_is_done_and_makes_the_same_calls_each_time() -> None:
    """With configuration, packages and metacache. A case is named by the number of a call, so they must not differ."""
    again = played()
    assert again.evidence.outcome == "done"
    assert again.calls == good_run().calls


def test_every_kind_of_attack_strikes_somewhere() -> None:
    assert {case.kind for case in all_cases()} == set(KINDS)


def test_no_attack_breaks_a_law() -> None:
    """In both orders of the take-down."""
    cases = sample(seed=7, count=len(KINDS))
    assert {case.take_down for case in cases} == set(TakeDown)
    found = list(verdicts(cases, jobs=1))
    assert [(str(one.case), one.error) for one in found if one.error] == []
    broken = [f"{law.law} {one.case}: {law.what}" for one in found for law in one.broken]
    assert broken == []
