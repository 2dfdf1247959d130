"""What a step leaves open until something was remembered: `{observed.NAME}`, filled with what an earlier check read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace

from bot.core.plans.plan import Action, Expected, PlannedChange, PlannedCheck, PlannedStep, Value
from bot.errors import Refused

OBSERVED = re.compile(r"\{observed\.([a-z_]+)\}")
"""Stands in an undo, and in what a check expects."""


def wanted(step: PlannedStep) -> set[str]:
    """The names of all that a step takes from what was observed."""
    undo = step.undo if isinstance(step, PlannedChange) else None
    looks = step.expect if isinstance(step, PlannedCheck) else undo.done_when if undo else ()
    asked = [str(value) for expected in looks for value in expected.asks.values()]
    return {name for text in (*(undo.command.argv if undo else ()), *asked) for name in OBSERVED.findall(text)}


def expected_of(step: PlannedCheck, observed: Mapping[str, str]) -> tuple[Expected, ...]:
    """What a check expects; what was never seen stays open, and no probe takes that for an answer."""
    return tuple(_expected(one, lambda found: observed.get(found[1], found[0])) for one in step.expect)


def filled(action: Action, observed: Mapping[str, str]) -> Action:
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
