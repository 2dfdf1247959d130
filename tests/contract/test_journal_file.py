"""The file that `journal` in the settings names: a mistyped one is another's, and stays as it is to its last bit."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bot import offline
from bot.adapters.journal import SqlJournal
from bot.config import Settings, read_settings
from bot.core.runs.events import RunHeld
from bot.errors import Illegal, JournalError
from tests.contract.journals import at_each_begin, begun, path, requested, url
from tests.fakes import MORNING

__all__ = ["path"]

ROOT = Path(__file__).parents[2]


def database(path: Path, *statements: str) -> None:
    made = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        made.execute(statement)
    made.close()


OTHERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "text": (lambda path: path.write_text("director-1 ssh-ed25519 AAAA\n" * 100), "it is not a database of SQLite"),
    "a letter": (lambda path: path.write_text("x"), "it is not a database of SQLite"),
    "a header": (lambda path: path.write_bytes(b"SQLite format 3\0" + bytes(84)), "it is not a database of SQLite"),
    "empty": (lambda path: path.touch(), "it is empty"),
    "a database": (
        lambda path: database(path, "PRAGMA journal_mode = WAL", "CREATE TABLE moz_places (id)"),
        "it is a database of something else: it has no table events as a journal has it",
    ),
    "its events": (lambda path: database(path, "CREATE TABLE events (run, seq, at)"), "a database of something else"),
    "a folder": (lambda path: path.mkdir(), "it is a folder"),
    "a pipe": (os.mkfifo, "it is no file, but a pipe"),
}


def state(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """All there is in a folder: mode, time of the last change, what it holds."""
    there = {one.name: (one, one.stat()) for one in folder.iterdir()}
    return {
        name: (stat.st_mode, stat.st_mtime_ns, one.read_bytes() if one.is_file() else b"")
        for name, (one, stat) in there.items()
    }


def opened_to_others(path: Path) -> None:
    path.chmod(0o755 if path.is_dir() else 0o644)


def settings(path: Path, folder: Path) -> Path:
    """The example's, with this journal."""
    example = (ROOT / "deploy" / "dovecot-bot.toml").read_text()
    file = folder / "dovecot-bot.toml"
    file.write_text(example.replace("/var/lib/dovecot-bot/journal.db", str(path)))
    return file


@pytest.fixture
def chosen(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return read_settings(settings(path, tmp_path_factory.mktemp("settings")))


@pytest.mark.parametrize("looks", [True, False], ids=["looked at", "used"])
@pytest.mark.parametrize(("make", "said"), OTHERS.values(), ids=OTHERS)
async def test_a_file_that_is_no_journal_is_refused_and_nothing_of_it_is_changed(
    path: Path, make: Callable[[Path], object], said: str, looks: bool
) -> None:
    """It lost its readers (0600) before anybody had looked into it: a mistyped path took a service its known_hosts."""
    make(path)
    opened_to_others(path)
    before = state(path.parent)
    with pytest.raises(JournalError) as told:
        await SqlJournal(url(path), only_looks=looks).open()
    for part in (str(path), said, "Nothing was changed", "correct `journal` in the settings"):
        assert part in str(told.value)
    assert state(path.parent) == before


async def test_a_journal_is_looked_at_without_being_written(path: Path, chosen: Settings) -> None:
    """Also one that lacks what this version would add, or that others may read."""
    async with SqlJournal(url(path)) as journal:
        sound = await journal.append("r1", 0, MORNING, [requested()])
    database(path, "DROP TABLE summaries", "PRAGMA journal_mode = DELETE")
    opened_to_others(path)
    before = state(path.parent)
    found = await offline.survey(chosen)
    assert [run.id for run in found.runs] == ["r1"]
    assert (await offline.readable(chosen, "r1"))[0] == sound
    assert state(path.parent) == before


async def test_a_journal_that_the_bot_left_in_haste_is_looked_at_as_it_is(path: Path, chosen: Settings) -> None:
    """What was committed last still stands in the file beside it."""
    async with SqlJournal(url(path)) as journal:
        await journal.append("r1", 0, MORNING, [requested()])
        before = state(path.parent)
        assert [run.id for run in (await offline.survey(chosen)).runs] == ["r1"]
        assert state(path.parent)["journal.db"] == before["journal.db"]


@pytest.mark.parametrize("left", [lambda path: path.touch(), lambda path: database(path, "PRAGMA journal_mode = WAL")])
async def test_a_bot_that_was_stopped_at_making_its_journal_makes_it_at_its_next_start(
    path: Path, left: Callable[[Path], object]
) -> None:
    left(path)
    await asyncio.to_thread(path.chmod, 0o600)
    async with SqlJournal(url(path)) as journal:
        await journal.append("r1", 0, MORNING, [requested()])
        assert await journal.open_runs() == ("r1",)


@pytest.mark.parametrize("command", [("runs",), ("record", "r1")])
def test_the_command_line_makes_no_journal_where_there_is_none(path: Path, command: tuple[str, ...]) -> None:
    config = settings(path, path.parent)
    done = subprocess.run(
        (sys.executable, "-m", "bot", *command, "--config", str(config)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"{path}: there is no journal yet\n")
    assert [one.name for one in path.parent.iterdir()] == [config.name]


# replaced under a running bot


def copied(path: Path) -> tuple[Path, bytes]:
    """As `sqlite3 PATH '.backup copy.db'` does, under a running bot; returns where it is, and all of it."""
    to = path.with_name("copy.db")
    live, copy = sqlite3.connect(path), sqlite3.connect(to)
    live.backup(copy)
    live.close()
    copy.close()
    return to, to.read_bytes()


def put(copy: Path, path: Path) -> None:
    """As `mv`, if it is still to be put there."""
    if copy.exists():
        copy.replace(path)


async def test_a_journal_whose_file_was_replaced_is_neither_written_nor_read_any_more(path: Path) -> None:
    """What the bot wrote went into a file without a name, and its -wal damaged the other one at the next start."""
    async with SqlJournal(url(path)) as journal:
        sound = await begun(journal)
        copy, older = copied(path)
        for after in range(4, 60):
            await journal.append("r1", after, MORNING, [RunHeld(reason="x" * 2000)])
        written = state(path.parent)["journal.db-wal"]
        put(copy, path)
        with pytest.raises(JournalError, match=r"another file was put in its place.*stop the bot.*Backup and restore"):
            await journal.append("r1", 60, MORNING, [RunHeld(reason="the last")])
        with pytest.raises(JournalError, match="another file was put in its place"):
            await journal.entries("r1")
    left = state(path.parent)
    assert left["journal.db"][2] == older
    assert left["journal.db-wal.of-the-file-before"] == written
    async with SqlJournal(url(path)) as journal:
        assert await journal.entries("r1") == sound
        await journal.append("r1", 4, MORNING, [RunHeld(reason="it goes on from the copy")])


async def test_a_journal_that_was_moved_away_is_told_and_put_back_it_has_all_facts(path: Path) -> None:
    async with SqlJournal(url(path)) as journal:
        sound = await begun(journal)
        put(path, path.with_name("elsewhere.db"))
        with pytest.raises(JournalError, match=r"it was moved away.*Put back the file that was moved"):
            await journal.append("r1", 4, MORNING, [RunHeld(reason="x")])
    put(path.with_name("elsewhere.db"), path)
    async with SqlJournal(url(path)) as journal:
        assert await journal.entries("r1") == sound


async def test_a_journal_whose_file_is_replaced_during_a_write_says_that_it_was_not_written(path: Path) -> None:
    """A host hears of what is written; the next start has to know of it."""
    async with SqlJournal(url(path)) as journal:
        await begun(journal)
        copy, _ = copied(path)
        with at_each_begin(lambda _: put(copy, path)), pytest.raises(JournalError):
            await journal.append("r1", 4, MORNING, [RunHeld(reason="x")])


async def test_a_shorter_copy_that_was_written_over_a_journal_is_told_in_words(path: Path) -> None:
    async with SqlJournal(url(path)) as journal:
        await begun(journal)
        with pytest.raises(Illegal, match=r"an older copy was written over.*stop the bot.*Backup and restore"):
            await journal.append("r1", 9, MORNING, [RunHeld(reason="x")])
