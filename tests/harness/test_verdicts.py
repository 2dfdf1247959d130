"""A case that branches off a good run ends as one that is played from its beginning, and none is lost."""

from __future__ import annotations

from functools import cache

from bot.core.hosts.inventory import TakeDown
from tests.harness.sweep import Case, all_cases
from tests.harness.verdicts import Verdict, verdict, verdicts


def some_cases() -> list[Case]:
    """Two kinds in each order, at the same call."""
    kinds = ("crash-after", "others-to-zero")
    at = {order: max(case.at for case in all_cases() if case.take_down is order) - 40 for order in TakeDown}
    return [case for case in all_cases() if case.kind in kinds and case.at == at[case.take_down]]


NEVER = Case(kind="abort", at=10**6, call="none", take_down=TakeDown.RUNBOOK)
"""At a call that never comes."""


@cache
def branched_off() -> dict[Case, Verdict]:
    return {one.case: one for one in verdicts([*some_cases(), NEVER], jobs=2)}


def test_a_case_that_branches_off_ends_as_one_that_is_played_from_its_beginning() -> None:
    cases = some_cases()
    assert [case.take_down for case in cases].count(TakeDown.MOVE_FIRST) == len(cases) / 2 == 2
    assert [branched_off()[case] for case in cases] == [verdict(case) for case in cases]


def test_a_case_at_a_call_that_never_comes_is_told() -> None:
    assert "no verdict came" in branched_off()[NEVER].error
