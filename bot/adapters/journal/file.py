"""The file of the journal: made where there is none, and otherwise taken only if it is a journal.

The setting may name any file by mistake: nothing of that one is changed, its mode neither, and nothing is made beside
it.
It must not know what stands in a journal, only by which columns one is known.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Collection
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from bot.errors import JournalError

_SMALLEST = 512
"""Bytes of SQLite's smallest page: it takes what is smaller for a new database, whatever stands in it."""

_OTHERS = 0o077
"""What a mode lets others do."""


def take(path: Path, table: str, columns: Collection[str], *, only_looks: bool) -> None:
    """Make the file or see that it is a journal, and for its owner alone (0600); with `only_looks` change nothing.

    A journal is a SQLite database with that table, which has at least those columns. Raises JournalError where it is
    none, OSError and sqlite3.Error where that cannot be seen.
    """
    if not only_looks and _made(path):
        return
    try:
        found = path.stat()
    except FileNotFoundError:
        if path.parent.is_dir():
            raise JournalError(f"{path}: there is no journal yet") from None
        raise
    if flaw := _no_journal(path, found, table, columns, only_looks=only_looks):
        raise JournalError(
            f"{path} cannot be used as the journal: {flaw}. Nothing was changed. What to do: correct `journal` in the"
            " settings; if the path is right, find out what has put this there, and move it away"
        )
    if not only_looks and found.st_mode & _OTHERS:
        path.chmod(0o600)


def for_looking(path: Path) -> str:
    """The file as SQLite is to be told of it, so that it neither makes nor writes it; it may leave -wal and -shm."""
    return f"file:{quote(str(path))}"


def _made(path: Path) -> bool:
    """Before SQLite makes it, so that it is never readable to others; its WAL files take its mode over."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True


def _no_journal(
    path: Path, found: os.stat_result, table: str, columns: Collection[str], *, only_looks: bool
) -> str | None:
    """Why it is no journal; None where it is one, or one that the bot was stopped at making."""
    if not stat.S_ISREG(found.st_mode):
        return "it is a folder" if stat.S_ISDIR(found.st_mode) else "it is no file, but a pipe, a socket or a device"
    if 0 < found.st_size < _SMALLEST:
        return "it is not a database of SQLite"
    try:
        empty, there = (False, set[str]()) if not found.st_size else _known_by(path, table)
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_NOTADB:
            raise
        return "it is not a database of SQLite"
    if not found.st_size or empty:
        # Empty, and nobody else may read it: so the bot leaves it, if it is stopped between the file and its tables.
        return None if not only_looks and not found.st_mode & _OTHERS else "it is empty"
    if not set(columns) <= there:
        return f"it is a database of something else: it has no table {table} as a journal has it"
    return None


def _known_by(path: Path, table: str) -> tuple[bool, set[str]]:
    """Whether the database has no tables at all, and the columns of that one.

    Asked of SQLite: whoever opens the file and closes it again takes away the locks that SQLite has on it.
    """
    # Nobody has it open without that file; then SQLite is to make none of its own beside what may be another's.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    with closing(sqlite3.connect(f"{for_looking(path)}?{how}", uri=True)) as database:
        database.text_factory = lambda name: name.decode(errors="replace")
        (count,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        return not count, {name for _, name, *_ in database.execute(f"PRAGMA table_info({table})")}
