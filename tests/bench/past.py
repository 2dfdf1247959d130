"""Journals with a past: one real run, played in virtual time, under as many ids as are wanted, an hour apart.

The first is written by the journal itself. The others are copies of its rows, with ids, dates and hashes of their own:
written one by one, 4,000 would take the journal minutes. That they are sound is asked of the journal.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

from bot.adapters.journal import SqlJournal
from bot.core.decisions.summary import as_text, from_text
from bot.core.plans.plan import digest
from bot.core.runs.events import Entry
from tests.bench.row import NotMeasured
from tests.bench.table import SCRATCH, file_system
from tests.harness.play import played

MANY, FEW = 4_000, 10
_APART = timedelta(hours=1)


@contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="dovecot-bot-bench-", dir=SCRATCH) as made:
        yield Path(made)


def opened(path: Path) -> SqlJournal:
    return SqlJournal(f"sqlite+aiosqlite:///{path}")


def on_disk() -> None:
    """Raises NotMeasured where journals would lie in memory."""
    if (kind := file_system(SCRATCH)) in {"tmpfs", "ramfs"}:
        raise NotMeasured(f"{SCRATCH} is on {kind}, where nothing is ever written to a disk")


def fsync_latency(place: Path, count: int = 200) -> float:
    """Seconds until 4 KiB are on the disk, the median."""
    took = []
    with (place / "fsync").open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return statistics.median(took)


@cache
def whole_run() -> tuple[Entry, ...]:
    """A run of the shipped procedure with packages and a configuration, from its request to its end.

    It is played in a loop of its own: call it in a thread.
    """
    return played().evidence.entries


async def write(path: Path, runs: int) -> None:
    """A journal with that many runs that have ended; raises RuntimeError where they are not as the journal's own."""
    entries = await asyncio.to_thread(whole_run)
    async with opened(path) as journal:
        await append(journal, _id(0), entries)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")
        rows = [dict(row) for row in database.execute("SELECT * FROM events ORDER BY seq")]
        (index,) = [dict(row) for row in database.execute("SELECT * FROM summaries")]
        for number in range(1, runs):
            _put(database, "events", _copied(rows, number))
            _put(database, "summaries", [_summarized(index, number)])
        database.execute("COMMIT")
    async with opened(path) as journal:
        listed = await journal.listed()
        damaged = [await journal.examine(_id(number)) for number in {0, 1, runs - 1}]
    if any(damaged) or (listed.count, len(listed.ended), listed.others) != (runs, runs, ()):
        raise RuntimeError(f"the journal does not take its past for sound: {listed.count} runs, {damaged}")


async def append(journal: SqlJournal, run: str, entries: Sequence[Entry]) -> None:
    """These facts, one a transaction, as the bot writes them."""
    for entry in entries:
        await journal.append(run, entry.seq - 1, entry.at, [entry.fact])


def _id(number: int) -> str:
    return f"r{number:06}"


def _later(at: str, number: int) -> str:
    return (datetime.fromisoformat(at) + number * _APART).isoformat(timespec="microseconds")


def _copied(rows: Sequence[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    copies, previous = [], ""
    for row in rows:
        copy = row | {"run": _id(number), "at": _later(row["at"], number), "prev_hash": previous}
        hashed = ("run", "seq", "at", "kind", "version", "body", "prev_hash")
        previous = digest([copy[column] for column in hashed])
        copies.append(copy | {"hash": previous})
    return copies


def _summarized(index: dict[str, Any], number: int) -> dict[str, Any]:
    summary = from_text(index["body"])
    assert summary is not None
    body = as_text(replace(summary, id=_id(number), began=summary.began + number * _APART))
    return index | {"run": _id(number), "began": _later(index["began"], number), "body": body}


def _put(database: sqlite3.Connection, table: str, rows: Sequence[dict[str, Any]]) -> None:
    columns = list(rows[0])
    places = ", ".join("?" * len(columns))
    statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
    database.executemany(statement, [[row[column] for column in columns] for row in rows])


# shared by the rows of one bench


@dataclass(frozen=True)
class Pasts:
    """The two journals that the rows read; who writes, copies."""

    many: Path
    few: Path


_PASTS = tempfile.TemporaryDirectory(prefix="dovecot-bot-bench-", dir=SCRATCH, ignore_cleanup_errors=True)


async def pasts() -> Pasts:
    """Made once a bench."""
    made = Pasts(Path(_PASTS.name) / "many.db", Path(_PASTS.name) / "few.db")
    for path, runs in ((made.many, MANY), (made.few, FEW)):
        if not path.exists():
            await write(path, runs)
    return made


async def copied(path: Path) -> Path:
    """The many, as a journal of one's own."""
    return Path(shutil.copy2((await pasts()).many, path))
