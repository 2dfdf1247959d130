"""The index of the runs that have ended: what a list shows of each, written in the transaction of its last fact.

It is made from the facts and from nothing else. An entry that is missing or cannot be read is made anew when a list is
asked for, so a journal of an older version needs nothing more. An entry stands only as long as no row of its run is
changed (database.py): a run that somebody has altered is read whole again, and found damaged.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ScalarSelect, Select, Subquery, delete, func, insert, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from bot.adapters.journal.database import ENDINGS, EVENTS, HOLDS, Database
from bot.core.decisions.summary import Listed, Summary, age, as_text, ended_summary, from_text
from bot.core.runs.events import Entry
from bot.errors import JournalError

log = logging.getLogger(__name__)

Read = Callable[[str], Awaitable[tuple[tuple[Entry, ...], str | None]]]
"""The facts of a run before the first place that does not fit, and how that does not."""


@dataclass(frozen=True, kw_only=True)
class _Index:
    """What the index says in one state of the journal; `to_make` are the runs whose entry has to be made."""

    ended: dict[str, Summary]
    count: int
    others: tuple[str, ...]
    to_make: tuple[str, ...]


async def put(connection: AsyncConnection, summary: Summary, seq: int) -> None:
    """Write the entry of a run of so many facts, instead of any there is."""
    began = summary.began.isoformat(timespec="microseconds")
    await connection.execute(delete(ENDINGS).where(ENDINGS.c.run == summary.id))
    row = {"run": summary.id, "began": began, "seq": seq, "body": as_text(summary)}
    await connection.execute(insert(ENDINGS).values(row))


async def listed(database: Database, read: Read, most: int | None) -> Listed:
    """All runs, of those that have ended the newest `most`; raises JournalError."""
    async with database.reading() as connection:
        index = await _index(connection, most) if database.complete else await _no_index(connection)
    made = await _make(database, read, index.to_make)
    ended = sorted((index.ended | made).values(), key=age, reverse=True)
    return Listed(
        ended=tuple(ended[:most]),
        count=index.count + len(made),
        others=tuple(run for run in index.others if run not in made),
    )


async def _make(database: Database, read: Read, runs: Sequence[str]) -> dict[str, Summary]:
    """The missing entries, each written as soon as it is made; where that cannot be, they serve this one list."""
    made: dict[str, Summary] = {}
    written = database.complete
    for run in runs:
        entries, damage = await read(run)
        summary = ended_summary(entries, damage)
        if summary is None:
            continue
        made[run] = summary
        try:
            if written:
                async with database.writing() as connection:
                    await put(connection, summary, len(entries))
        except JournalError as error:
            log.info("the index of ended runs stays as it is: %s", error)
            written = False
    return made


async def _index(connection: AsyncConnection, most: int | None) -> _Index:
    newest = select(ENDINGS.c.run, ENDINGS.c.body).where(ENDINGS.c.seq == _last_seq(ENDINGS.c.run))
    newest = newest.order_by(ENDINGS.c.began.desc(), ENDINGS.c.run.desc()).limit(most)
    read = {row.run: from_text(row.body) for row in await connection.execute(newest)}
    unreadable = [run for run, summary in read.items() if summary is None]
    rows = (await connection.execute(select(func.count()).select_from(ENDINGS))).scalar() or 0
    others = (await connection.execute(_others_of_index())).all()
    return await _with_holds(
        connection,
        ended={run: summary for run, summary in read.items() if summary is not None},
        count=rows - len(unreadable) - sum(row.seq is not None for row in others),
        others=(*(row.run for row in others), *unreadable),
    )


async def _no_index(connection: AsyncConnection) -> _Index:
    """For a journal of an older version that can only be read."""
    others = (await connection.execute(_by_age(_runs()))).scalars()
    return await _with_holds(connection, ended={}, count=0, others=tuple(others))


async def _with_holds(
    connection: AsyncConnection, *, ended: dict[str, Summary], count: int, others: tuple[str, ...]
) -> _Index:
    holding = set((await connection.execute(select(HOLDS.c.run))).scalars())
    to_make = tuple(run for run in others if run not in holding)
    return _Index(ended=ended, count=count, others=others, to_make=to_make)


def _others_of_index() -> Select[Any]:
    """The runs without an entry that tells of all their facts; `seq` is what an entry tells of that does not."""
    runs = _runs()
    stale = ENDINGS.c.seq != func.coalesce(_last_seq(runs.c.run), 0)
    entries = runs.outerjoin(ENDINGS, ENDINGS.c.run == runs.c.run)
    return _by_age(runs).add_columns(ENDINGS.c.seq).select_from(entries).where(or_(ENDINGS.c.seq.is_(None), stale))


def _runs() -> Subquery:
    """The runs there are, also those that only hold something.

    Each run is one step through the primary key: a DISTINCT would read it for every fact.
    """
    first = select(func.min(EVENTS.c.run).label("run")).cte("first", recursive=True)
    following = select(func.min(EVENTS.c.run)).where(EVENTS.c.run > first.c.run).scalar_subquery()
    known = first.union_all(select(following).where(first.c.run.is_not(None)))
    return select(known.c.run).where(known.c.run.is_not(None)).union(select(HOLDS.c.run)).subquery("runs")


def _by_age(runs: Subquery) -> Select[Any]:
    began = select(EVENTS.c.at).where(EVENTS.c.run == runs.c.run).order_by(EVENTS.c.seq).limit(1).scalar_subquery()
    return select(runs.c.run).order_by(began, runs.c.run)


def _last_seq(run: ColumnElement[str]) -> ScalarSelect[Any]:
    return select(func.max(EVENTS.c.seq)).where(EVENTS.c.run == run).scalar_subquery()
