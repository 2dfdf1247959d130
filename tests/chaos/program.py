"""The chaos program: a good run, then the cases, some at a time, and the account of them all."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import get_args

from tests.chaos.act import Verdict, act
from tests.chaos.case import KINDS, Case
from tests.chaos.cases import all_cases, sample
from tests.chaos.evidence import Broken, Law
from tests.chaos.good import Good, good_run
from tests.chaos.judges import in_take_down
from tests.chaos.play import Play

LAWS = get_args(Law)
_SAID_EVERY = 50


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the command line asks for."""

    seed: int
    every: bool = False
    only: str = ""
    listed: bool = False
    at_once: int = 4
    budget: float = float("inf")


@dataclass(kw_only=True)
class Account:
    """What was played, and what broke."""

    played: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    logins: Counter[str] = field(default_factory=Counter)
    killed_at: set[str] = field(default_factory=set)
    killed_moving: set[str] = field(default_factory=set)
    """The same in runs that move users first."""
    not_struck: list[str] = field(default_factory=list)
    left_out: int = 0
    retries: int = 0

    def add(self, case: Case, verdict: Verdict) -> None:
        """Count one verdict; a trouble that never found its moment counts as not played."""
        self.broken.update(one.law for one in verdict.broken)
        if not verdict.struck and not verdict.broken:
            self.not_struck.append(case.name)
            return
        self.played[case.kind] += verdict.strikes
        (self.killed_moving if case.take_down else self.killed_at).update(verdict.killed_at)
        if seen := verdict.evidence:
            self.retries += sum(click.action == "retry" for click in seen.clicks)
            for login in seen.failed_logins:
                where = "in take-downs" if in_take_down(seen, login.at) else "outside"
                self.logins["by injected ring trouble" if seen.ring_disturbed else where] += 1

    def killed(self, good: Good) -> str:
        """At how many of the facts of each kind of run the bot was killed."""
        ways = (
            (self.killed_at, good.facts, "facts of a run"),
            (self.killed_at | self.killed_moving, good.back, "of a way back"),
            (self.killed_moving, good.moving, "of a move and the take-down after it"),
        )
        return ", ".join(f"{len(at & set(facts))} of the {len(facts)} {what}" for at, facts, what in ways)

    @property
    def last_line(self) -> str:
        """The verdict on all of it, in one line."""
        counts = [*((kind, self.played[kind]) for kind in KINDS), *((law, self.broken[law]) for law in LAWS)]
        return " ".join(f"{name}={count}" for name, count in counts)

    @property
    def status(self) -> int:
        """The exit status: 1 when a law was broken."""
        return 1 if self.broken.total() else 0


async def nothing(play: Play) -> None:
    """No trouble at all."""
    play.struck = True


GOOD = Case(name="good", kind="kills", family="good", trouble=nothing)
BACK = Case(
    name="back",
    kind="kills",
    family="good",
    trouble=nothing,
    turns_at="restore",
    may_end=frozenset({"went back"}),
)


MOVE = Case(name="move", kind="kills", family="good", trouble=nothing, take_down="move-first")


async def run(wanted: Wanted) -> int:
    """All that is wanted; prints as it goes, and returns the exit status."""
    began = time.monotonic()
    first, back, move = await asyncio.gather(*(played(case, wanted.seed) for case in (GOOD, BACK, MOVE)))
    if first.broken or back.broken or move.broken or first.evidence is None:
        print("a run without any trouble did not go well: nothing else was played")
        return 1
    good = good_run(first.facts, first.evidence, back.facts, move.facts)
    cases = chosen(good, wanted)
    print(
        f"seed {wanted.seed}: a good run has {len(good.facts)} facts, {len(good.changes)} changes; {len(cases)} cases"
    )
    if wanted.listed:
        print("\n".join(case.name for case in cases))
        return 0
    account = Account()
    await _all(wanted, cases, account, began)
    _say_account(account, good, time.monotonic() - began)
    print(account.last_line)
    return account.status


def chosen(good: Good, wanted: Wanted) -> Sequence[Case]:
    """The cases to be played; raises SystemExit for a name that is none."""
    if not wanted.only:
        return all_cases(good) if wanted.every else sample(good, wanted.seed)
    cases = {case.name: case for case in (*all_cases(good), *sample(good, wanted.seed), GOOD, BACK, MOVE)}
    found = [case for name, case in cases.items() if name == wanted.only]
    found = found or [case for name, case in cases.items() if fnmatch(name, wanted.only)]
    if not found:
        raise SystemExit(f"there is no case {wanted.only!r}; --all --list names them")
    return found


async def _all(wanted: Wanted, cases: Sequence[Case], account: Account, began: float) -> None:
    left, single_instance = list(reversed(cases)), len(cases) == 1
    played_so_far = itertools.count(1)

    async def take_turns() -> None:
        while left:
            if time.monotonic() - began > wanted.budget:
                account.left_out, left[:] = len(left), []
                return
            case = left.pop()
            verdict = await played(case, wanted.seed, keep=bool(wanted.only) and single_instance)
            account.add(case, verdict)
            if (number := next(played_so_far)) % _SAID_EVERY == 0:
                print(f"{number} of {len(cases)} played, {account.broken.total()} broken laws", flush=True)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(wanted.at_once, len(cases))):
            group.create_task(take_turns())


async def played(case: Case, seed: int, *, keep: bool = False) -> Verdict:
    """Play one case in a folder of its own, which stays when a law was broken, or when it is to be kept."""
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    verdict: Verdict | None = None
    try:
        verdict = await act(case, folder=folder, seed=seed)
    except Exception as error:  # noqa: BLE001 - one scene that cannot be played must not hide the others
        verdict = Verdict(
            case=case.name, struck=True, broken=(Broken(law="lost", what=f"{type(error).__name__}: {error}"),)
        )
    finally:
        if verdict is not None and (verdict.broken or keep):
            _say(case, seed, verdict, folder)
        else:
            await asyncio.to_thread(shutil.rmtree, folder)
    return verdict


def _say(case: Case, seed: int, verdict: Verdict, folder: Path) -> None:
    what = "; ".join(f"{one.law}: {one.what}" for one in verdict.broken) or "well"
    print(
        f"{case.name}: {what}\n    tests/run chaos --seed {seed} --only {case.name}    log: {folder}/bot.log",
        flush=True,
    )


def _say_account(account: Account, good: Good, took: float) -> None:
    print(f"killed at {account.killed(good)}; {took:.0f} s")
    if account.not_struck:
        print(f"never found their moment, and are not counted: {', '.join(account.not_struck)}")
    if account.left_out:
        print(f"not played, as the time was up: {account.left_out}")
    kinds = ("in take-downs", "outside", "by injected ring trouble")
    print(f"holds that people answered with Retry: {account.retries}")
    print("failed logins of practice users: " + ", ".join(f"{kind} {account.logins[kind]}" for kind in kinds))
