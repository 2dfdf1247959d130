"""What a step leaves open until something was remembered: `{observed.NAME}`, filled with what an earlier check read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import assert_never

from bot.core.plans.plan import (
    Action,
    Expected,
    PlannedApproval,
    PlannedChange,
    PlannedCheck,
    PlannedStep,
    PlannedWait,
    Value,
)
from bot.errors import Refused

OBSERVED = re.compile(r"\{observed\.([a-z_]+)\}")
"""Stands in an undo, and in what a check expects."""


def wanted(step: PlannedStep) -> set[str]:
    """The names of all that a step takes from what was observed."""
    argv: tuple[str, ...] = ()
    looks: tuple[Expected, ...] = ()
    match step:
        case PlannedCheck():
            looks = step.expect
        case PlannedChange(undo=Action() as undo):
            argv, looks = undo.command.argv, undo.done_when
        case PlannedChange() | PlannedWait() | PlannedApproval():
            pass
        case _:
            assert_never(step)
    asked = [str(value) for expected in looks for value in expected.asks.values()]
    return {name for text in (*argv, *asked) for name in OBSERVED.findall(text)}


def expected_of(step: PlannedCheck, observed: Mapping[str, str]) -> tuple[Expected, ...]:
    """What a check expects; what was never seen stays open, and no probe takes that for an answer."""
    return tuple(_expected(one, lambda found: observed.get(found[1], found[0])) for one in step.expect)


def with_observed(action: Action, observed: Mapping[str, str]) -> Action:
    """An undo with its values; raises Refused for what was never seen."""

    def value(found: re.Match[str]) -> str:
        if found[1] not in observed:
            raise Refused(f"Going back needs {found[1]}, which this run did not see before it changed anything.")
        return observed[found[1]]

    argv: list[str] = []
    for word in action.command.argv:
        whole = OBSERVED.fullmatch(word)
        argv.extend(value(whole).split() if whole else [OBSERVED.sub(value, word)])
    done_when = tuple(_expected(one, value) for one in action.done_when)
    return replace(action, command=replace(action.command, argv=tuple(argv)), done_when=done_when)


def _expected(expected: Expected, value: Callable[[re.Match[str]], str]) -> Expected:
    asks: dict[str, Value] = {
        key: OBSERVED.sub(value, asked) if isinstance(asked, str) else asked for key, asked in expected.asks.items()
    }
    return replace(expected, asks=asks)
