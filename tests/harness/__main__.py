"""`python -m tests.harness [--all] [--seed N] [--count N] [--only TEXT] [--jobs N]`: puts things in, says what broke.

The last line is the verdict: cases=N errors=N, and each law with its count of broken cases.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from tests.harness.judges import LAWS
from tests.harness.sweep import Case, all_cases, sample
from tests.harness.verdicts import Verdict, verdicts


def _cases(given: argparse.Namespace) -> list[Case]:
    everything = given.all or given.only
    cases = all_cases() if everything else sample(given.seed, given.count)
    return [case for case in cases if given.only in str(case)]


def _tell(found: Verdict) -> None:
    if found.error:
        print(f"ERROR {found.case}: {found.error}", flush=True)
    for broken in found.broken[:3]:
        print(f"{broken.law:18} {found.case} ({found.outcome}): {broken.what}", flush=True)


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.harness")
    parser.add_argument("--all", action="store_true", help="every attack at every call")
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample (1)")
    parser.add_argument("--count", type=int, default=100, help="how many cases the sample has (100)")
    parser.add_argument("--only", default="", help="cases whose text contains this")
    parser.add_argument("--jobs", type=int, default=2, help="processes (2)")
    given = parser.parse_args()
    began, cases = time.monotonic(), _cases(given)
    laws, kinds, outcomes = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    for number, found in enumerate(verdicts(cases, given.jobs), start=1):
        _tell(found)
        if number % 500 == 0:
            print(f"{number} of {len(cases)}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        outcomes["error" if found.error else found.outcome] += 1
        broken = {one.law for one in found.broken}
        laws.update(broken)
        kinds.update((law, found.case.kind) for law in broken)
    for (law, kind), count in sorted(kinds.items()):
        print(f"{law:18} {kind:28} {count}")
    print(f"outcomes: {dict(outcomes)}; {time.monotonic() - began:.0f} s")
    counts = " ".join(f"{law}={laws[law]}" for law in LAWS)
    print(f"cases={len(cases)} errors={outcomes['error']} {counts}")
    return 1 if laws or outcomes["error"] else 0


if __name__ == "__main__":
    sys.exit(_main())
