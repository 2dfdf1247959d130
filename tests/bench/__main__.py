"""`python -m tests.bench [--only ROW] [--json FILE] [--list] [--write]`: measures, and prints one table.

Ends with 0 also where a row is missed or cannot be measured here; with 1 where the bench itself broke.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import shlex
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.row import Outcome, Row, Verdict, play
from tests.bench.rows import ROWS
from tests.bench.table import Made, as_data, as_text, heading, in_full, in_short, machine, put_between, whole

ROOT = Path(__file__).parents[2]
PAGES = {ROOT / "tests" / "bench" / "README.md": in_full, ROOT / "README.md": in_short}


def _given(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests/run bench", description="Measures against what people would use.")
    parser.add_argument("--only", metavar="ROW", default="", help="the rows whose names begin with this")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write every figure of every run there, too")
    parser.add_argument("--list", action="store_true", help="only name the rows")
    parser.add_argument("--write", action="store_true", help="put the table into README.md and tests/bench/README.md")
    given = parser.parse_args(arguments)
    if given.write and given.only:
        parser.error("the pages hold the whole table: --write goes without --only")
    if not _chosen(given.only):
        parser.error(f"there is no row {given.only}; --list names them")
    return given


def _chosen(only: str) -> list[Row]:
    return [row for row in ROWS if row.name.startswith(only)]


async def _played(rows: Sequence[Row]) -> list[Outcome]:
    outcomes = []
    for row in rows:
        print(f"… {row.name}", file=sys.stderr, flush=True)
        outcomes.append(await play(row))
        print(as_text(outcomes[-1]), flush=True)
    return outcomes


def main(arguments: Sequence[str]) -> int:
    given = _given(arguments)
    rows = _chosen(given.only)
    if given.list:
        print("\n".join(map(heading, rows)))
        return 0
    outcomes = asyncio.run(_played(rows))
    command = shlex.join(["tests/run", "bench", *(["--only", given.only] if given.only else [])])
    made = Made(command=command, date=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC", machine=machine())
    print(f"\n{whole(outcomes, made)}")
    if given.json:
        given.json.write_text(json.dumps(as_data(outcomes, made), indent=1, ensure_ascii=False) + "\n")
    if given.write:
        for page, table in PAGES.items():
            page.write_text(put_between(page.read_text(), table(outcomes, made)))
    return 1 if any(one.verdict is Verdict.BROKEN for one in outcomes) else 0


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)  # what the bot logs while it is measured goes to a file or nowhere
    sys.exit(main(sys.argv[1:]))
