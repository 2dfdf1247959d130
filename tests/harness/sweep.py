"""The cases: everything put in everywhere, or a seeded sample of it."""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache

from bot.core.hosts.inventory import TakeDown
from tests.harness.attacks import KINDS
from tests.harness.play import Played, played


@dataclass(frozen=True, kw_only=True)
class Case:
    """An attack at the call of that number in a good run, which is called so, in this order of the take-down."""

    kind: str
    at: int
    call: str
    take_down: TakeDown

    def __str__(self) -> str:
        order = " (move-first)" if self.take_down is TakeDown.MOVE_FIRST else ""
        return f"{self.kind} at {self.at}{order}: {self.call[:110]}"


@cache
def good_run(take_down: TakeDown = TakeDown.RUNBOOK) -> Played:
    """A run in which nothing happens: it numbers the calls."""
    return played(take_down=take_down)


def all_cases() -> list[Case]:
    """Every attack at every call where it makes sense; in the order that moves first, where the orders differ."""
    return [
        Case(kind=kind.name, at=number, call=call, take_down=take_down)
        for kind in KINDS.values()
        for take_down in TakeDown
        for number, call, stands in _calls(take_down)
        if kind.fits(call, stands)
    ]


def _calls(take_down: TakeDown) -> list[tuple[int, str, str]]:
    """Number, call and where the run stood."""
    good = good_run(take_down)
    calls = [(number, *one) for number, one in enumerate(zip(good.calls, good.notes, strict=True))]
    if take_down is TakeDown.RUNBOOK:
        return calls
    first = next(number for number, call, _ in calls if "ApprovalAsked:approve-flush" in call)
    last = next(number for number, call, _ in calls if "StepDone:flush-users" in call)
    return calls[first : last + 1]


def sample(seed: int, count: int) -> list[Case]:
    """Some of them, of every kind about as many."""
    chance = random.Random(seed)
    by_kind: dict[str, list[Case]] = {}
    for case in all_cases():
        by_kind.setdefault(case.kind, []).append(case)
    each = max(count // len(by_kind), 1)
    return [case for cases in by_kind.values() for case in chance.sample(cases, min(each, len(cases)))]
