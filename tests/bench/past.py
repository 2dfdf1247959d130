"""Journals with a past, and with open runs: of one real run, played in virtual time, under as many ids as are wanted.

The first of a past is written by the journal itself. The others are copies of its rows, with ids, dates and hashes of
their own: written one by one, 4,000 would take the journal minutes. That they are sound is asked of the journal.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any

from bot.adapters.journal import SqlJournal
from bot.core.decisions.summary import as_text, from_text
from bot.core.plans.plan import digest
from bot.core.runs.events import Entry, Fact, WaitBegan, body_of, fact_from
from bot.practice.scene import CHANNEL, GROUP
from bot.practice.slack.server import LocalSlack
from bot.practice.slack.workspace import Message
from tests.bench.row import NotMeasured
from tests.bench.table import SCRATCH, file_system
from tests.harness.play import played

MANY, FEW = 4_000, 10
_APART = timedelta(hours=1)
_TABLES = ("events", "holds", "claims", "summaries", "posts", "cursors")
Row = dict[str, Any]


@contextmanager
def folder() -> Iterator[Path]:
    """A folder on the disk, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="dovecot-bot-bench-", dir=SCRATCH) as made:
        yield Path(made)


def opened(path: Path) -> SqlJournal:
    return SqlJournal(f"sqlite:///{path}")


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
        await journal.posts.advance(_id(0), len(entries))  # all of it is told, long since
    _copy(path, _id(0), [_PastOne(_id(number), number * _APART) for number in range(1, runs)])
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


# copying the rows of one run


@dataclass(frozen=True)
class _PastOne:
    """A copy that began later."""

    run: str
    by: timedelta

    def row(self, table: str, row: Row) -> Row:
        match table:
            case "events":
                return row | {"at": self._later(row["at"])}
            case "summaries":
                summary = from_text(row["body"])
                assert summary is not None
                body = as_text(replace(summary, id=self.run, began=summary.began + self.by))
                return row | {"began": self._later(row["began"]), "body": body}
            case _:
                return row

    def _later(self, at: str) -> str:
        return (datetime.fromisoformat(at) + self.by).isoformat(timespec="microseconds")


@dataclass(frozen=True)
class _OnRing:
    """A copy on another ring; `root`: its first message in Slack."""

    run: str
    ring: int
    root: str

    def row(self, table: str, row: Row) -> Row:
        told = {key: self._told(value) if isinstance(value, str) else value for key, value in row.items()}
        return told | {"ts": self.root} if table == "posts" else told

    def _told(self, text: str) -> str:
        return told_of(text.replace("ring-0", f"ring-{self.ring}"), self.ring)


def _copy(path: Path, run: str, copies: Sequence[_PastOne | _OnRing]) -> None:
    """Copy all rows of a run, each fact chained anew to the one before it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")
        rows = {table: _rows(database, table, run) for table in _TABLES}
        for copy in copies:
            for table in _TABLES:
                made = [copy.row(table, row) | {"run": copy.run} for row in rows[table]]
                _put(database, table, _chained(made) if table == "events" else made)
        database.execute("COMMIT")


def _rows(database: sqlite3.Connection, table: str, run: str) -> list[Row]:
    rows = [dict(row) for row in database.execute(f"SELECT * FROM {table} WHERE run = ?", [run])]
    return sorted(rows, key=itemgetter("seq")) if table == "events" else rows


def _chained(rows: Sequence[Row]) -> list[Row]:
    chained, previous = [], ""
    for row in rows:
        hashed = [row[column] for column in ("run", "seq", "at", "kind", "version", "body")]
        chained.append(row | {"prev_hash": previous, "hash": digest([*hashed, previous])})
        previous = chained[-1]["hash"]
    return chained


def _put(database: sqlite3.Connection, table: str, rows: Sequence[Row]) -> None:
    if rows:
        columns = list(rows[0])
        statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
        database.executemany(statement, [[row[column] for column in columns] for row in rows])


# shared by the rows of one bench


@dataclass(frozen=True)
class Pasts:
    """The two journals that the rows read; who writes, copies."""

    many: Path
    few: Path


@cache
def _shelf() -> tempfile.TemporaryDirectory[str]:
    """A folder for as long as the bench runs."""
    return tempfile.TemporaryDirectory(prefix="dovecot-bot-bench-", dir=SCRATCH, ignore_cleanup_errors=True)


async def pasts() -> Pasts:
    """Made once a bench."""
    made = Pasts(Path(_shelf().name) / "many.db", Path(_shelf().name) / "few.db")
    for path, runs in ((made.many, MANY), (made.few, FEW)):
        if not path.exists():
            await write(path, runs)
    return made


async def copied(path: Path) -> Path:
    """The many, as a journal of one's own."""
    return Path(shutil.copy2((await pasts()).many, path))


# runs that are open


SETTINGS = "dovecot-bot.toml"
_NAME = re.compile(r"\b(director|backend)-(\d)(?:-r0)?\b")
_ADDRESS = re.compile(r"\b(?:192\.0\.2|10\.0\.0)\.(\d+)\b")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
_PLAYED_DRAIN = "PT1M30S"


def told_of(text: str, ring: int) -> str:
    """What is said of the one ring, or of the first, as of the ring of this number."""
    return _ADDRESS.sub(rf"10.{ring // 250}.{ring % 250}.\1", _NAME.sub(rf"\1-\2-r{ring}", text))


def settings(rings: int) -> str:
    """For that many rings of two directors and three backends; the journal is beside it."""
    group = f'{{usergroup = "{GROUP}"}}'
    lines = ["[bot]", 'journal = "journal.db"', 'configs = "configs"', "[slack]", f'channels = ["{CHANNEL}"]']
    lines += ["[people]", f"requesters = {group}", f"approvers = {group}"]
    directors = ", ".join(f'{{name = "director-{one}", sudo = true}}' for one in (1, 2))
    backends = ", ".join(f'{{name = "backend-{one}", ip = "192.0.2.{10 + one}", sudo = true}}' for one in (1, 2, 3))
    for ring in range(rings):
        lines += ["[[rings]]", f'name = "ring-{ring}"', 'test_user = "practice-test"', "metacache = {}"]
        lines += [told_of(f"directors = [{directors}]\nbackends = [{backends}]", ring)]
    return "\n".join([*lines, ""])


async def open_runs(
    path: Path, runs: int, up_to: type[Fact], slack: LocalSlack, *, drain: timedelta = timedelta(minutes=15)
) -> None:
    """Add to a journal that many runs, each on a ring of its own, that came to their first fact of this kind.

    The last fact is not yet told in Slack, and of those before nothing stands there but the root.
    """
    whole = await asyncio.to_thread(whole_run)
    entries = whole[: next(entry.seq for entry in whole if isinstance(entry.fact, up_to))]
    async with opened(path) as journal:
        if not runs:
            return
        facts, at = _now(entries, drain)
        await journal.append(_open_id(0), 0, at, facts)
        await journal.posts.begin(_open_id(0), 1, 0, CHANNEL)
        await journal.posts.sent(_open_id(0), 1, 0, _root(slack))
        await journal.posts.advance(_open_id(0), len(entries) - 1)
    _copy(path, _open_id(0), [_OnRing(_open_id(ring), ring, _root(slack)) for ring in range(1, runs)])


def of_ring(facts: Sequence[Fact], ring: int) -> list[Fact]:
    """The same facts on another ring."""
    texts = [(type(one).__name__, told_of(body_of(one), ring)) for one in facts]
    return [fact_from(kind, text.replace('"practice"', f'"ring-{ring}"')) for kind, text in texts]


def _open_id(ring: int) -> str:
    return f"ropen{ring:04}"


def _root(slack: LocalSlack) -> str:
    root = Message(channel=CHANNEL, ts=slack.next_ts(), text="A run", user=slack.bot_user, bot_id=slack.bot_id)
    slack.messages.append(root)
    return root.ts


def _now(entries: Sequence[Entry], drain: timedelta) -> tuple[list[Fact], datetime]:
    """The facts as of ring 0, as if the last one came at this moment."""
    at = datetime.now(UTC)
    by = at - entries[-1].at

    def later(found: re.Match[str]) -> str:
        return (datetime.fromisoformat(found[0]) + by).isoformat()

    facts: list[Fact] = []
    for fact in of_ring([entry.fact for entry in entries], 0):
        text = _DATE.sub(later, body_of(fact)).replace(_PLAYED_DRAIN, f"PT{drain.total_seconds():g}S")
        moved = fact_from(type(fact).__name__, text)
        if isinstance(moved, WaitBegan):
            moved = replace(moved, until=at + drain, clocks=dict.fromkeys(moved.clocks, int(at.timestamp())))
        facts.append(moved)
    return facts, at
