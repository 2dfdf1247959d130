"""What came of cases. They branch off one good run: what lies before the attack is played once for all of them.

The good run has a process of its own. At a call where cases are, it forks: the child goes on with the attack put in,
judges what came of it, and ends; the good run waits for a child where enough of them are under way.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection

from bot.core.hosts.inventory import TakeDown
from tests.harness.attacks import KINDS
from tests.harness.judges import Broken, judged
from tests.harness.play import Attack, Played, played, played_with
from tests.harness.sweep import Case


@dataclass(frozen=True)
class Verdict:
    """What came of a case; `error` where it could not be played to its end."""

    case: Case
    outcome: str
    broken: tuple[Broken, ...]
    error: str = ""


def verdict(case: Case) -> Verdict:
    """Play one case from its beginning, in this process, and judge it by all laws."""
    return Verdict(case, *_what_came(lambda: played(KINDS[case.kind].does, case.at, case.take_down)))


def verdicts(cases: list[Case], jobs: int) -> Iterator[Verdict]:
    """All of them, so many at a time."""
    for take_down in TakeDown:
        of_order = [case for case in cases if case.take_down is take_down]
        if of_order:
            yield from _branched(of_order, take_down, jobs)


def _what_came(play: Callable[[], Played]) -> tuple[str, tuple[Broken, ...], str]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        seen = play().evidence
    except Exception as error:  # noqa: BLE001  a case that cannot be played is told, and the others go on
        return "error", (), f"{type(error).__name__}: {error}"
    finally:
        logging.disable(before)  # what comes after it in this process has its log again
    return seen.outcome, tuple(judged(seen)), ""


def _branched(cases: list[Case], take_down: TakeDown, jobs: int) -> Iterator[Verdict]:
    fork = multiprocessing.get_context("fork")  # which has no thread of whoever asks, and has imported all of it
    reader, writer = fork.Pipe(duplex=False)
    run = fork.Process(target=_good_run, args=(cases, take_down, jobs, writer), daemon=True)
    run.start()
    writer.close()
    waited_for = dict.fromkeys(cases)
    with reader, suppress(EOFError):  # the good run and all its branches have ended
        while True:
            found: Verdict = reader.recv()
            del waited_for[found.case]
            yield found
    run.join()
    for case in waited_for:
        yield Verdict(case, "error", (), f"no verdict came; the good run ended with {run.exitcode}")


class _Branches:
    """The processes that branch off; `mine` is the case of this process, None in the good run itself."""

    def __init__(self, cases: list[Case], jobs: int) -> None:
        self.mine: Case | None = None
        self._at: dict[int, list[Case]] = {}
        for case in cases:
            self._at.setdefault(case.at, []).append(case)
        self._jobs = jobs
        self._under_way = 0

    def choose(self, number: int) -> Attack | None:
        """Branch off for each case at this call; in the branch it is the case's attack that is put in."""
        for case in self._at.get(number, ()) if self.mine is None else ():
            if self._under_way == self._jobs:
                self.wait()
            loop = asyncio.get_running_loop()
            if os.fork() == 0:
                asyncio._set_running_loop(loop)  # which loop runs is known per process
                self.mine = case
                return KINDS[case.kind].does
            self._under_way += 1
        return None

    def wait(self) -> None:
        """Until one of them has ended."""
        os.wait()
        self._under_way -= 1

    def wait_for_all(self) -> None:
        while self._under_way:
            self.wait()


def _good_run(cases: list[Case], take_down: TakeDown, jobs: int, writer: Connection) -> None:
    branches, one_writes = _Branches(cases, jobs), multiprocessing.Lock()
    gc.disable()  # a branch is short, and collecting garbage copies all memory that it has in common with the others
    came = _what_came(lambda: played_with(branches.choose, take_down))
    if branches.mine is None:
        branches.wait_for_all()
        return
    with one_writes:
        writer.send(Verdict(branches.mine, *came))
    os._exit(0)  # what is to be cleaned up is the good run's
