"""`python -m tests.chaos [--seed N] [--all] [--only CASE] [--list]`: plays the cases, and says what broke.

The last line is the verdict: how many of each kind were played, kills=N cuts=N slack=N ring=N others=N, and how often
each law was broken, repeated=N lost=N unapproved=N two_out=N last_taken=N wrong_host=N deleted_unflushed=N late=N.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys

from tests.chaos.program import Wanted, run


def _wanted(arguments: list[str]) -> Wanted:
    parser = argparse.ArgumentParser(
        prog="tests/run chaos", description="Break everything, and see that nothing is lost."
    )
    parser.add_argument("--seed", type=int, default=1, help="chooses the sample, the order and what users do (1)")
    parser.add_argument("--all", action="store_true", help="every case, which takes long")
    parser.add_argument(
        "--only", metavar="CASE", default="", help="one case by its name, its log is kept; or all that match a pattern"
    )
    parser.add_argument("--list", action="store_true", help="only name the cases that would be played")
    parser.add_argument("--at-once", type=int, default=4, help="scenes at a time (4)")
    parser.add_argument(
        "--budget", type=float, default=None, help="begin no scene after so many seconds (250; --all: none)"
    )
    given = parser.parse_args(arguments)
    budget = given.budget if given.budget is not None else (float("inf") if given.all or given.only else 250.0)
    return Wanted(
        seed=given.seed, every=given.all, only=given.only, listed=given.list, at_once=given.at_once, budget=budget
    )


async def _main(wanted: Wanted) -> int:
    """Told to end, every scene ends what it started."""
    task = asyncio.current_task()
    assert task is not None
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)
    return await run(wanted)


if __name__ == "__main__":
    logging.getLogger("asyncssh").setLevel(logging.CRITICAL)
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    try:
        sys.exit(asyncio.run(_main(_wanted(sys.argv[1:]))))
    except asyncio.CancelledError:
        sys.exit(130)
