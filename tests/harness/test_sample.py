"""A whole run costs milliseconds; a seeded sample of attacks here, every attack at every call where CI=true."""

from __future__ import annotations

import os
import time

import pytest

from tests.harness.attacks import KINDS
from tests.harness.judges import NEW, NEW_LAWS_HOLD, OLD
from tests.harness.play import played
from tests.harness.sweep import BREAK_OLD_LAWS_TODAY, Case, Verdict, all_cases, good_run, sample, verdict, verdicts

COUNT = len(KINDS)
EVERYTHING = os.environ.get("CI") == "true"


def cases() -> list[Case]:
    """What is played; until the switch is on, without the kinds that break even the old laws."""
    chosen = all_cases() if EVERYTHING else sample(seed=7, count=COUNT)
    return [case for case in chosen if NEW_LAWS_HOLD or case.kind not in BREAK_OLD_LAWS_TODAY]


def test_a_whole_run_is_done_and_costs_next_to_nothing() -> None:
    """With configuration, packages and metacache. The bound is generous: the machine may be busy."""
    good_run()
    began = time.monotonic()
    again = played()
    assert time.monotonic() - began < 2
    assert again.evidence.outcome == "done"
    assert again.calls == good_run().calls, "the numbers of the calls must be the same in every run"


def test_every_kind_of_attack_strikes_somewhere() -> None:
    assert {case.kind for case in all_cases()} == set(KINDS)


@pytest.mark.timeout(7200)
def test_no_attack_breaks_a_law() -> None:
    laws = {*OLD, *(NEW if NEW_LAWS_HOLD else ())}
    found: list[Verdict] = list(verdicts(cases(), os.cpu_count() or 1) if EVERYTHING else map(verdict, cases()))
    assert [(str(one.case), one.error) for one in found if one.error] == []
    broken = [f"{law.law} {one.case}: {law.what}" for one in found for law in one.broken if law.law in laws]
    assert broken == []
