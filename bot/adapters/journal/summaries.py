"""The index of the runs: a row each from its first fact on, and once it has ended what a list shows of it.

It is made from the facts and from nothing else. Where it says nothing of a run, the run is read whole: an open one, a
damaged one, one of an older version, one of which somebody has changed a row (a trigger in database.py sees to that).
What then proves to have ended is put into the index by the list that has read it: opening a journal waits for no fold.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import Connection, Select, delete, func, insert, select

from bot.adapters.journal.database import EVENTS, HOLDS, SUMMARIES, Database
from bot.adapters.journal.ids import is_bytes, is_one, is_text, shown
from bot.core.decisions.summary import RunList, Summary, age, as_text, ended_summary, from_text
from bot.core.runs.events import Entry
from bot.errors import JournalError

log = logging.getLogger(__name__)

Read = Callable[[str], Awaitable[tuple[tuple[Entry, ...], str | None]]]
"""The facts of a run before the first place that does not fit, and how that does not."""


def begin(connection: Connection, entry: Entry) -> None:
    """The row of a run with its first fact."""
    _put(connection, entry, seq=0, body=None)


def end(connection: Connection, entries: Sequence[Entry], damage: str | None) -> None:
    """What a list shows of the run with these facts, all of them; nothing where they have not come to its end."""
    if summary := ended_summary(entries, damage):
        _put(connection, entries[0], seq=len(entries), body=as_text(summary))


def _put(connection: Connection, first: Entry, *, seq: int, body: str | None) -> None:
    connection.execute(delete(SUMMARIES).where(SUMMARIES.c.run == first.run))
    row = {"run": first.run, "began": first.at.isoformat(timespec="microseconds"), "seq": seq, "body": body}
    connection.execute(insert(SUMMARIES).values(row))


async def complete(database: Database) -> bool:
    """Give a row to the runs of an older version of the bot; what is in it is found out by the next list.

    Returns whether all have one then: what stands in the place of a run's id gets none.
    """
    if await database.read(lambda connection: connection.execute(_missing().limit(1)).first()) is None:
        return True
    return await database.write(_begin_missing)


def _begin_missing(connection: Connection) -> bool:
    ages = _ages(connection, _missing())  # again: another program may be opening it, too
    if rows := [{"run": run, "began": began, "seq": 0, "body": None} for run, began in ages.items() if is_one(run)]:
        connection.execute(insert(SUMMARIES), rows)
    return len(rows) == len(ages)


async def listed(database: Database, read: Read, most: int | None, *, all_have_rows: bool) -> RunList:
    """All runs, of those that have ended the newest `most`; raises JournalError."""
    index = await database.read(partial(_read, most=most, complete=database.complete, all_have_rows=all_have_rows))
    others = dict.fromkeys(index.holding, "") | index.unknown
    made = await _made(database, read, (run for run in others if run not in index.holding))
    ended = sorted((index.found | made).values(), key=age, reverse=True)
    return RunList(
        ended=tuple(ended[:most]),
        count=index.ended + len(made),
        others=tuple(sorted((run for run in others if run not in made), key=lambda run: (others[run], run))),
    )


@dataclass(frozen=True, kw_only=True)
class _Index:
    """What the tables say: of `ended` runs that have ended the newest `found`, and of which runs they say nothing."""

    holding: Sequence[str]
    ended: int
    found: dict[str, Summary]
    unknown: dict[str, str]
    """By their age."""


def _read(connection: Connection, *, most: int | None, complete: bool, all_have_rows: bool) -> _Index:
    holding = tuple(map(shown, connection.execute(select(HOLDS.c.run)).scalars()))
    rows, blank, found, unreadable = 0, dict[str, str](), dict[str, Summary](), dict[str, str]()
    if complete:
        rows = connection.execute(select(func.count()).select_from(SUMMARIES).where(_OF_RUNS)).scalar() or 0
        blank = _ages(
            connection, select(SUMMARIES.c.run, SUMMARIES.c.began).where(SUMMARIES.c.body.is_(None), _OF_RUNS)
        )
        found, unreadable = _newest(connection, most)
    missing = {} if all_have_rows and not _spoilt(connection) else _ages(connection, _missing(indexed=complete))
    unknown = blank | unreadable | missing
    return _Index(holding=holding, ended=rows - len(blank | unreadable), found=found, unknown=unknown)


_OF_RUNS = is_text(SUMMARIES.c.run)


def _spoilt(connection: Connection) -> bool:
    """Whether somebody has written bytes in the place of a run's id: then that run has no row, or the row no run."""
    there = (select(column).where(is_bytes(column)).limit(1) for column in (EVENTS.c.run, SUMMARIES.c.run))
    return any(connection.execute(query).first() for query in there)


def _newest(connection: Connection, most: int | None) -> tuple[dict[str, Summary], dict[str, str]]:
    """What the index says of the newest runs that have ended, and the age of those of which it cannot be taken."""
    last = select(func.max(EVENTS.c.seq)).where(EVENTS.c.run == SUMMARIES.c.run).scalar_subquery()
    newest = select(SUMMARIES.c.run, SUMMARIES.c.began, SUMMARIES.c.body, (SUMMARIES.c.seq == last).label("whole"))
    newest = newest.where(SUMMARIES.c.body.is_not(None), _OF_RUNS)
    newest = newest.order_by(SUMMARIES.c.began.desc(), SUMMARIES.c.run.desc()).limit(most)
    found, unreadable = {}, {}
    for row in connection.execute(newest):
        if row.whole and (summary := from_text(row.body)):
            found[row.run] = summary
        else:
            unreadable[row.run] = shown(row.began)
    return found, unreadable


async def _made(database: Database, read: Read, runs: Iterable[str]) -> dict[str, Summary]:
    """Those that have ended, each written as soon as it is known; where that cannot be, it serves this one list."""
    made: dict[str, Summary] = {}
    written = database.complete and not database.only_looks
    for run in runs:
        entries, damage = await read(run)
        summary = ended_summary(entries, damage)
        if summary is None:
            continue
        made[run] = summary
        try:
            if written:
                await database.write(partial(end, entries=entries, damage=damage))
        except JournalError as error:
            log.info("the index of runs stays as it is: %s", error)
            written = False
    return made


def _ages(connection: Connection, query: Select[Any]) -> dict[str, str]:
    return {shown(row.run): shown(row.began) for row in connection.execute(query)}


def _missing(*, indexed: bool = True) -> Select[Any]:
    """Rows for the runs that the index lacks: all of them in a journal without one.

    Each run is one step through the primary key: a DISTINCT would read it for every fact.
    """
    first = select(func.min(EVENTS.c.run).label("run")).cte("first", recursive=True)
    following = select(func.min(EVENTS.c.run)).where(EVENTS.c.run > first.c.run).scalar_subquery()
    runs = first.union_all(select(following).where(first.c.run.is_not(None)))
    began = select(EVENTS.c.at).where(EVENTS.c.run == runs.c.run).order_by(EVENTS.c.seq).limit(1).scalar_subquery()
    query = select(runs.c.run, began.label("began")).where(runs.c.run.is_not(None))
    return query.where(runs.c.run.not_in(select(SUMMARIES.c.run))) if indexed else query
