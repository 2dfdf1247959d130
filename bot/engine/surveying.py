"""Every run there is, for a list: those under way folded from their facts, those that have ended from the index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from bot.core.decisions.damage import Damaged
from bot.core.decisions.summary import RunList, Summary, age, summary_of
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.ports import Journal
from bot.errors import Illegal


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Runs, the newest first. `count` of all of them: not all may be asked for.

    `damaged` are those that cannot be read whole, or were released before they had ended.
    """

    runs: tuple[Run | Summary, ...]
    damaged: tuple[Damaged, ...]
    count: int


async def read_run(journal: Journal, run: str) -> Run | Damaged | None:
    """A run by all its facts; None when there is none of that id. One that has ended is that, and no released one."""
    try:
        known = fold(await journal.entries(run))
    except Illegal:
        known = None
    if known and known.status is Status.ENDED:
        return known
    found = await journal.examine(run)
    # One that has all that it claims goes on, whatever stands in the place of its release.
    return found if found and (found.flaw or not found.claims) else known


async def surveyed(listed: RunList, read: Callable[[str], Awaitable[Run | Damaged | None]]) -> Survey:
    """The runs of a journal as it lists them; `read` gives those of which it lists nothing but their ids."""
    runs: list[Run | Summary] = list(listed.ended)
    damaged = []
    for run in reversed(listed.others):
        match await read(run):
            case Damaged() as found:
                damaged.append(found)
            case Run() as found:
                # What has ended is many times as large, and nobody needs more of it than its summary.
                runs.append(summary_of(found) if found.status is Status.ENDED else found)
            case None:
                pass
    count = listed.count + len(runs) - len(listed.ended)
    return Survey(runs=tuple(sorted(runs, key=age, reverse=True)), damaged=tuple(damaged), count=count)
