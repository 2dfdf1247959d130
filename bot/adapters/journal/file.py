"""The file of the journal: made where there is none, and otherwise taken only if it is a journal; and whether it is
still the one that stands there.

The setting may name any file by mistake: nothing of that one is changed, its mode neither, and nothing is made beside
it.
It must not know what stands in a journal, only by which columns one is known.
"""

from __future__ import annotations

import logging
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

_ASIDE = ".of-the-file-before"
"""What the name of a `-wal` ends with that belongs to no file that stands there."""

log = logging.getLogger(__name__)


def url_of(path: Path) -> str:
    """Its address for SQLAlchemy: of the file itself, as for its lock.

    A link that is set to another file meanwhile must not split the journal in two.
    """
    return f"sqlite:///{os.path.realpath(path)}"


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


class Opened:
    """The file that was opened at a path, compared with the one that stands there.

    SQLite goes on with a file that was moved away or replaced: what it then commits, no other start will know of.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._real = Path(os.path.realpath(path))
        self._known = _identity(path)
        self._gone = ""

    def stands(self) -> None:
        """Raises JournalError, from the first time on, where another file stands there, or none."""
        found = None if self._gone else _identity(self._path)
        if not self._gone and found == self._known:
            return
        # For good: whatever has used the other file meanwhile may have taken the -wal of this one.
        self._gone = self._gone or ("it was moved away" if found is None else "another file was put in its place")
        raise JournalError(
            f"the journal ({self._path}) cannot be used: {self._gone} while the bot had it open. Nothing is read or"
            " written any more. What to do: stop the bot. Put back the file that was moved, with its -wal beside it;"
            f" if it is gone, put a copy there, and remove {self._real.name}-wal and {self._real.name}-shm. Start the"
            " bot. deploy/README.md has it step by step (Backup and restore)"
        )

    def leave(self) -> None:
        """Once it is closed: what was not yet in the file would be written into another one by its next start."""
        try:
            if (found := _identity(self._real)) is None or found == self._known:
                return
            left = Path(f"{self._real}-wal")
            if left.exists() and left.stat().st_size:
                left.replace(f"{left}{_ASIDE}")
                log.error("the journal's file was replaced; its last facts are in %s", f"{left}{_ASIDE}")
            Path(f"{self._real}-shm").unlink(missing_ok=True)
        except OSError:
            log.exception("the journal's file was replaced, and what belongs to the one before may stand beside it")


def _identity(path: Path) -> tuple[int, int] | None:
    """The file that stands there now, links followed; None where there is none."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino


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
