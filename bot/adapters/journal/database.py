"""The tables, the connections and the transactions of the journal, in SQLite.

It must not know what a fact is. Every foreign error becomes a JournalError here (errors.py).
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Engine, Index, Integer, MetaData, String, Table, Text, create_engine, event
from sqlalchemy import inspect as inspected
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from bot.adapters.journal import file
from bot.adapters.journal.errors import only_read, translated
from bot.errors import JournalError

_T = TypeVar("_T")

METADATA = MetaData()

EVENTS = Table(
    "events",
    METADATA,
    Column("run", String(100), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("at", String(40), nullable=False),
    Column("kind", String(100), nullable=False),
    Column("version", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("prev_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
)

HOLDS = Table(
    "holds",
    METADATA,
    Column("ring", String(100), primary_key=True),
    Column("run", String(100), nullable=False, unique=True),
)

CLAIMS = Table(
    "claims",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("run", String(100), nullable=False, index=True),
)

RELEASES = Table(
    "releases",
    METADATA,
    Column("run", String(100), primary_key=True),
    Column("by", String(40), nullable=False),
    Column("at", String(40), nullable=False),
    Column("reason", Text, nullable=False),
    Column("prev_hash", String(64)),
    Column("hash", String(64)),
)
"""Who released what a damaged run claimed: it cannot be a fact of the run, which nothing can be added to.

The hashes came later than the table: rows of an older version have none (releasing.py), and it writes none.
"""

SUMMARIES = Table(
    "summaries",
    METADATA,
    Column("run", String(100), primary_key=True),
    Column("began", String(40), nullable=False, index=True),
    Column("seq", Integer, nullable=False),
    Column("body", Text),
)
"""What a list shows of runs that have ended (summaries.py): made from their facts, and no part of any record."""

_BLANK = SUMMARIES.c.body.is_(None)
Index("summaries_blank", SUMMARIES.c.run, sqlite_where=_BLANK, postgresql_where=_BLANK)

_FORGET = (
    "CREATE TRIGGER IF NOT EXISTS {} AFTER {} ON events BEGIN UPDATE summaries SET body = NULL WHERE run IN ({}); END"
)
_TRIGGERS = (
    # The bot only ever adds facts: of a run that somebody changes, with whatever program, the index says nothing more.
    _FORGET.format("events_altered", "UPDATE", "OLD.run, NEW.run"),
    _FORGET.format("events_deleted", "DELETE", "OLD.run"),
)

POSTS = Table(
    "posts",
    METADATA,
    Column("run", String(100), primary_key=True),
    Column("seq", Integer, primary_key=True, autoincrement=False),
    Column("part", Integer, primary_key=True, autoincrement=False),
    Column("channel", String(40), nullable=False),
    Column("ts", String(40)),
    Column("state", String(10), nullable=False),
)

CURSORS = Table(
    "cursors",
    METADATA,
    Column("run", String(100), primary_key=True),
    Column("seq", Integer, nullable=False),
)

_PRAGMAS = (
    "busy_timeout=5000",  # milliseconds; first, since changing to WAL needs the lock
    "journal_mode=WAL",  # which is written into the file
    "synchronous=FULL",  # WAL's usual NORMAL may lose the last commits when the machine loses its power
    "foreign_keys=ON",
)

_READERS = 4
"""How many transactions are read side by side; each has a connection of its own."""


@dataclass(frozen=True, kw_only=True)
class _Side:
    """The threads that read or write, and how their transactions begin."""

    threads: ThreadPoolExecutor
    engine: Engine


class Database:
    """One database and its transactions. Raises JournalError, with what happened and what to do.

    A transaction is one function, called in a thread: what it is given of the connection must not leave it.
    """

    def __init__(self, url: str, *, only_looks: bool = False) -> None:
        self._url = make_url(url)
        self.only_looks = only_looks
        """Whether nothing is made and nothing written, the file neither."""
        self._reading: _Side | None = None
        self._writing: _Side | None = None
        self._file: file.Opened | None = None
        self.there: frozenset[str] = frozenset()
        """The tables that can be read: one of an older version that is not written lacks some."""

    @property
    def complete(self) -> bool:
        """Whether every table is there."""
        return set(METADATA.tables) <= self.there

    async def open(self) -> None:
        """Connect, and create what is missing. A SQLite file is for the bot's user alone (0600)."""
        url = await self._taken()
        engine = create_engine(url, hide_parameters=True, pool_size=_READERS + 1)
        if self._url.get_backend_name() == "sqlite":
            event.listen(engine, "connect", partial(_prepare, only_looks=self.only_looks))
            event.listen(engine, "begin", _begin)
        readers = ThreadPoolExecutor(_READERS, "journal-reader")
        self._reading = _Side(threads=readers, engine=engine.execution_options(begin="DEFERRED"))
        # One thread: SQLite has writers that meet sleep and try again, until one of them gives up. Here they queue.
        writer = ThreadPoolExecutor(1, "journal-writer")
        self._writing = _Side(threads=writer, engine=engine.execution_options(begin="IMMEDIATE"))
        try:
            await self._create()
        except BaseException:
            await self.close()
            raise

    async def _taken(self) -> URL:
        """The URL to connect to; its file is there and is a journal, or is about to be one."""
        database = self._url.database or ":memory:"
        if self._url.get_backend_name() != "sqlite" or database == ":memory:" or database.startswith("file:"):
            return self._url
        columns = EVENTS.columns.keys()
        try:
            path = Path(await asyncio.to_thread(os.path.realpath, database))
            await asyncio.to_thread(file.take, path, EVENTS.name, columns, only_looks=self.only_looks)
            self._file = None if self.only_looks else file.Opened(Path(database))
        except (OSError, sqlite3.Error) as error:
            raise translated(error, self.name) from error
        if not self.only_looks:
            return self._url
        return self._url.set(database=file.for_looking(path), query={"mode": "ro", "uri": "true"})

    async def _create(self) -> None:
        self.there = await self.read(_tables)
        if self.only_looks or (self.complete and not await self.read(_lacking)):
            return
        try:
            await self.write(_create_all)
            self.there = await self.read(_tables)
        except JournalError as error:  # a journal that can only be read is opened too, for looking
            if EVENTS.name not in self.there or not only_read(error):
                raise

    async def close(self) -> None:
        """Finish the transactions that have begun and give back every connection; harmless when none is open."""
        sides = (self._writing, self._reading)
        self._writing = self._reading = None
        for side in sides:
            if side is not None:
                await asyncio.to_thread(side.threads.shutdown)
                side.engine.dispose()
        opened, self._file = self._file, None
        if opened:
            await asyncio.to_thread(opened.leave)

    @property
    def name(self) -> str:
        """The URL for people, without its password."""
        return self._url.render_as_string(hide_password=True)

    async def read(self, work: Callable[[Connection], _T]) -> _T:
        """What `work` makes of one state of everything."""
        return await self._done(self._reading, work)

    async def write(self, work: Callable[[Connection], _T]) -> _T:
        """Commit what `work` does, whole or not at all; IntegrityError comes through.

        One that has begun is finished, though its caller is cancelled meanwhile.
        """
        return await self._done(self._writing, work)

    async def _done(self, side: _Side | None, work: Callable[[Connection], _T]) -> _T:
        if side is None:
            raise JournalError(f"the journal ({self.name}) is not open: the bot is starting or stopping")

        opened = self._file

        def transaction() -> _T:
            if opened:
                opened.stands()
            with side.engine.begin() as connection:
                done = work(connection)
            if opened:
                opened.stands()  # what was committed into a file that is gone is not written
            return done

        try:
            return await asyncio.get_running_loop().run_in_executor(side.threads, transaction)
        except IntegrityError:
            raise  # what it means is known where the row was written
        except (SQLAlchemyError, OSError) as error:
            raise translated(error, self.name) from error


def _tables(connection: Connection) -> frozenset[str]:
    return frozenset(inspected(connection).get_table_names())


def _lacking(connection: Connection) -> list[str]:
    """The columns that a journal of an older version is without, as SQL adds them."""
    there = {column["name"] for column in inspected(connection).get_columns(RELEASES.name)}
    return [f"{column.name} {column.type}" for column in RELEASES.columns if column.name not in there]


def _create_all(connection: Connection) -> None:
    METADATA.create_all(connection)
    for column in _lacking(connection):
        connection.exec_driver_sql(f"ALTER TABLE {RELEASES.name} ADD COLUMN {column}")
    if connection.dialect.name == "sqlite":
        for trigger in _TRIGGERS:
            connection.exec_driver_sql(trigger)


def _prepare(connection: Any, _record: object, *, only_looks: bool) -> None:
    """SQLite, as it is to be used; the driver begins no transaction of its own, `_begin` does."""
    connection.isolation_level = None
    # A flipped bit in a text must not keep the rest from being read: it is shown as \xff, and fits no hash.
    connection.text_factory = _readable
    cursor = connection.cursor()
    for pragma in (one for one in _PRAGMAS if not (only_looks and one.startswith("journal_mode"))):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _readable(text: bytes) -> str:
    return text.decode(errors="backslashreplace")


def _begin(connection: Connection) -> None:
    """A writer locks when it begins: one that read first and locks later can be refused for good."""
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('begin', 'DEFERRED')}")
