"""Everything put in everywhere, or a seeded sample of it, and what broke."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache

from tests.harness.attacks import KINDS
from tests.harness.judges import Broken, judged
from tests.harness.play import Played, played


@dataclass(frozen=True, kw_only=True)
class Case:
    """An attack at the call of that number in a good run, which is called so."""

    kind: str
    at: int
    call: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.at}: {self.call[:110]}"


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What came of a case."""

    case: Case
    outcome: str
    broken: tuple[Broken, ...]
    error: str = ""


@cache
def good_run() -> Played:
    """A run in which nothing happens: it numbers the calls."""
    return played()


def all_cases() -> list[Case]:
    """Every attack at every call where it makes sense."""
    good = good_run()
    return [
        Case(kind=kind.name, at=number, call=call)
        for kind in KINDS.values()
        for number, (call, stands) in enumerate(zip(good.calls, good.notes, strict=True))
        if kind.fits(call, stands)
    ]


def sample(seed: int, count: int) -> list[Case]:
    """Some of them, of every kind about as many."""
    chance = random.Random(seed)
    by_kind: dict[str, list[Case]] = {}
    for case in all_cases():
        by_kind.setdefault(case.kind, []).append(case)
    each = max(count // len(by_kind), 1)
    return [case for cases in by_kind.values() for case in chance.sample(cases, min(each, len(cases)))]


def verdict(case: Case) -> Verdict:
    """Play it and judge it, by all laws."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        seen = played(KINDS[case.kind].does, case.at).evidence
    except Exception as error:  # noqa: BLE001  a case that cannot be played is told, and the others go on
        return Verdict(case=case, outcome="error", broken=(), error=f"{type(error).__name__}: {error}")
    finally:
        logging.disable(before)  # what comes after it in this process has its log again
    return Verdict(case=case, outcome=seen.outcome, broken=tuple(judged(seen)))


def verdicts(cases: list[Case], jobs: int) -> Iterator[Verdict]:
    """All of them, in any number of processes."""
    if jobs == 1:
        yield from map(verdict, cases)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(verdict, cases, chunksize=8)
