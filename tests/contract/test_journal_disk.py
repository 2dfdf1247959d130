"""The journal on a disk that is full, read-only or locked, or in a file that is none: nothing is half written, and
the error says what to do."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Connection

from bot.adapters.journal import SqlJournal
from bot.core.runs.events import Outcome, RunEnded, RunHeld
from bot.errors import JournalError
from tests.contract.journals import at_each_begin, begun, path, requested, sql, url
from tests.fakes import MORNING
from tests.patience import SECONDS

__all__ = ["path", "sql"]


# what can be wrong with a disk


async def test_a_journal_that_can_only_be_read_is_read_and_says_so_when_written(path: Path) -> None:
    async with SqlJournal(url(path)) as journal:
        sound = await begun(journal)
        async with SqlJournal(f"{url(Path('file:' + str(path)))}?mode=ro&uri=true") as only_read:
            assert await only_read.entries("r1") == sound
            with pytest.raises(JournalError, match=r"readonly.*Nothing was written.*give the file and its directory"):
                await only_read.append("r1", 4, MORNING, [RunHeld(reason="x")])
        assert await journal.entries("r1") == sound


async def test_a_full_disk_writes_nothing_by_halves_and_says_what_to_do(sql: SqlJournal) -> None:
    sound = await begun(sql)
    much = [RunHeld(reason="x" * 3000) for _ in range(100)]
    with at_each_begin(_no_more_pages), pytest.raises(JournalError, match=r"is full.*Nothing was written.*make room"):
        await sql.append("r1", 4, MORNING, [*much, RunEnded(outcome=Outcome.DONE)])
    assert await sql.entries("r1") == sound
    assert await sql.open_runs() == ("r1",)
    with at_each_begin(_pages_again):
        await sql.append("r1", 4, MORNING, [*much, RunEnded(outcome=Outcome.DONE)])
    assert len(await sql.entries("r1")) == 105


async def test_a_first_fact_on_a_full_disk_takes_no_ring(sql: SqlJournal) -> None:
    much = [RunHeld(reason="x" * 3000) for _ in range(100)]
    with at_each_begin(_no_more_pages), pytest.raises(JournalError, match="is full"):
        await sql.append("r1", 0, MORNING, [requested(), *much])
    assert await sql.open_runs() == await sql.all_runs() == ()


async def test_a_journal_that_another_program_holds_is_waited_for_and_then_told(sql: SqlJournal, path: Path) -> None:
    sound = await begun(sql)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with at_each_begin(_impatient), pytest.raises(JournalError, match=r"is locked.*another program"):
        await sql.append("r1", 4, MORNING, [RunHeld(reason="x")])
    with at_each_begin(_patient):
        waiting = asyncio.create_task(sql.append("r1", 4, MORNING, [RunHeld(reason="x")]))
        assert await sql.entries("r1") == sound, "reading waits for nobody"
        other.execute("ROLLBACK")
        other.close()
        await waiting


async def test_runs_that_write_at_once_wait_for_each_other_and_none_takes_them_for_another_program(
    sql: SqlJournal,
) -> None:
    with at_each_begin(_impatient):
        runs = [sql.append(f"r{number}", 0, MORNING, [requested(f"ring-{number}")]) for number in range(100)]
        written = await asyncio.gather(*runs, return_exceptions=True)
    assert [one for one in written if isinstance(one, BaseException)] == []
    assert len(await sql.open_runs()) == 100


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b"not a database at all" * 100), "not a database.*correct `journal`"),
        (lambda path: path.mkdir(), "it is a folder"),
        (lambda path: path.parent.rmdir(), "unable to open.*its directory must exist"),
    ],
    ids=["no database", "a folder", "no folder"],
)
async def test_a_file_that_is_no_journal_is_told(tmp_path: Path, spoil: Callable[[Path], object], said: str) -> None:
    folder = tmp_path / "var"
    folder.mkdir()
    spoil(folder / "journal.db")
    with pytest.raises(JournalError, match=said):
        await SqlJournal(url(folder / "journal.db")).open()


async def test_a_journal_that_is_not_open_says_so(path: Path) -> None:
    with pytest.raises(JournalError, match="is not open"):
        await SqlJournal(url(path)).entries("r1")


async def test_a_password_in_the_url_is_never_told() -> None:
    with pytest.raises(JournalError) as told:
        await SqlJournal("sqlite://bot:hunter2@host/nowhere/journal.db").entries("r1")
    assert "hunter2" not in str(told.value)


def _no_more_pages(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA max_page_count = 1")  # SQLite makes it as many as there are


def _pages_again(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA max_page_count = 1000000")


def _impatient(connection: Connection) -> None:
    connection.exec_driver_sql("PRAGMA busy_timeout = 20")  # milliseconds; the connection keeps it


def _patient(connection: Connection) -> None:
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {SECONDS * 1_000:.0f}")
