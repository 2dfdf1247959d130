"""What the journal in SQL promises besides: it outlives the machine, and shows what a stranger has altered in it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Connection

from bot.adapters.journal import SqlJournal
from bot.core.plans.plan import digest
from bot.core.runs.events import Outcome, RunEnded, RunHeld
from bot.errors import Illegal
from tests.contract.journals import SECOND, at_each_begin, begun, path, requested, sql, url
from tests.fakes import MORNING

__all__ = ["path", "sql"]

REPOSITORY = Path(__file__).parents[2]


# what SQL promises besides


async def test_times_are_kept_to_the_microsecond_and_in_utc(sql: SqlJournal) -> None:
    here = datetime(2026, 3, 29, 2, 59, 59, 1, tzinfo=timezone(timedelta(hours=1)))
    await sql.append("r1", 0, here, [requested()])
    (entry,) = await sql.entries("r1")
    assert entry.at == here
    assert entry.at.tzinfo == UTC


async def test_a_journal_is_for_its_owners_eyes_alone(path: Path) -> None:
    """Who may read it reads every command line; and a journal that was created otherwise is corrected."""
    async with SqlJournal(url(path)) as journal:
        await journal.append("r1", 0, MORNING, [requested()])
    await asyncio.to_thread(path.chmod, 0o644)
    async with SqlJournal(url(path)) as journal:
        await journal.append("r1", 1, MORNING, [RunHeld(reason="x")])
        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.glob("journal.db*")}
    assert modes == {"journal.db": 0o600, "journal.db-wal": 0o600, "journal.db-shm": 0o600}


async def test_what_is_committed_survives_the_machine(sql: SqlJournal, path: Path) -> None:
    """synchronous is each connection's own setting, so it is asked of a connection that the journal made."""
    asked: list[object] = []

    def ask(connection: Connection) -> None:
        asked.extend(connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("synchronous", "foreign_keys"))

    with at_each_begin(ask):
        await sql.append("r1", 0, MORNING, [requested()])
    assert asked[:2] == [2, 1]
    with sqlite3.connect(path) as other:
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.close()


WRITER = """
import asyncio, itertools, sys
from bot.adapters.journal import SqlJournal
from bot.core.runs.events import RunHeld
from tests.contract.journals import requested
from tests.fakes import MORNING

async def main():
    async with SqlJournal(sys.argv[1]) as journal:
        await journal.append("r1", 0, MORNING, [requested()])
        for after in itertools.count(1, 2):
            await journal.append("r1", after, MORNING, [RunHeld(reason=str(after)), RunHeld(reason=str(after))])
            print(after + 2, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 5, 30])
async def test_a_killed_writer_loses_nothing_that_it_was_told_was_written(path: Path, after: int) -> None:
    told = await asyncio.to_thread(_killed_after, after, path)
    async with SqlJournal(url(path)) as journal:
        entries = await journal.entries("r1")
        assert len(entries) >= told
        assert len(entries) % 2 == 1, "half of an append was written"
        assert await journal.open_runs() == ("r1",)
        await journal.append("r1", len(entries), MORNING, [RunEnded(outcome=Outcome.ABORTED)])


def _killed_after(lines: int, path: Path) -> int:
    """Start a writer, kill it with SIGKILL when it has said that much; returns the last number it was told."""
    command = [sys.executable, "-c", WRITER, url(path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        said = [writer.stdout.readline() for _ in range(lines)]
        writer.kill()
        said += writer.stdout.readlines()
    return int([line for line in said if line.endswith("\n")][-1])


@pytest.mark.parametrize(
    ("tampering", "number", "said"),
    [
        ("UPDATE events SET body = replace(body, 'stop', 'start') WHERE seq = 3", 3, "altered"),
        ("UPDATE events SET body = body || ' ' WHERE seq = 3", 3, "altered"),
        ("UPDATE events SET at = '2026-03-02T09:00:01.000000+00:00' WHERE seq = 2", 2, "altered"),
        ("UPDATE events SET kind = 'RunEnded' WHERE seq = 4", 4, "altered"),
        ("UPDATE events SET version = 2 WHERE seq = 4", 4, "altered"),
        ("UPDATE events SET hash = 'no' WHERE seq = 2", 2, "altered"),
        ("UPDATE events SET prev_hash = 'no' WHERE seq = 2", 2, "does not follow"),
        ("DELETE FROM events WHERE seq = 1", 1, "missing; the next one there is fact 2"),
        ("DELETE FROM events WHERE seq = 2", 2, "missing; the next one there is fact 3"),
        ("UPDATE events SET seq = 9 WHERE seq = 4", 4, "missing; the next one there is fact 9"),
        ("UPDATE events SET run = 'r2'; UPDATE events SET run = 'r1' WHERE seq > 2", 1, "missing"),
    ],
)
async def test_tampering_is_found_at_its_place(
    sql: SqlJournal, path: Path, tampering: str, number: int, said: str
) -> None:
    sound = await begun(sql)
    _change(path, tampering)
    with pytest.raises(Illegal, match=f"^run r1, fact {number}: .*{said}"):
        await sql.entries("r1")
    damage = await sql.damage("r1")
    assert damage is not None
    assert damage.startswith(f"run r1, fact {number}: ")
    assert await sql.readable_entries("r1") == sound[: number - 1]


async def test_a_sound_run_has_no_damage(sql: SqlJournal) -> None:
    sound = await begun(sql)
    assert await sql.damage("r1") is None
    assert await sql.readable_entries("r1") == sound
    assert await sql.damage("nobody") is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda row: row | {"kind": "StepDreamt"}, "unknown kind: StepDreamt"),
        (lambda row: row | {"body": "{}"}, "RunHeld that cannot be read"),
        (lambda row: row | {"body": "no JSON"}, "cannot be read"),
        (lambda row: row | {"at": "yesterday"}, "cannot be read"),
        (lambda row: row | {"version": 2}, "another version of the bot"),
    ],
    ids=["kind", "fields", "JSON", "time", "version"],
)
async def test_a_row_that_this_bot_cannot_read_is_said_though_its_hash_fits(
    sql: SqlJournal, path: Path, change: Callable[[dict[str, object]], dict[str, object]], said: str
) -> None:
    """As after going back to an older bot: it must say so, and not leave the fact out."""
    sound = await begun(sql)
    with sqlite3.connect(path) as database:
        database.row_factory = sqlite3.Row
        row = change(dict(database.execute("SELECT * FROM events WHERE seq = 4").fetchone()))
        columns = ("run", "seq", "at", "kind", "version", "body", "prev_hash")
        row["hash"] = digest([row[column] for column in columns])
        database.execute(
            "UPDATE events SET at = :at, kind = :kind, version = :version, body = :body, hash = :hash WHERE seq = 4",
            row,
        )
    database.close()
    with pytest.raises(Illegal, match=f"^run r1, fact 4: .*{said}"):
        await sql.entries("r1")
    assert await sql.readable_entries("r1") == sound[:3]


async def test_a_damaged_run_does_not_hide_the_others(sql: SqlJournal, path: Path) -> None:
    await begun(sql)
    await sql.append("r2", 0, MORNING + SECOND, [requested("red")])
    _change(path, "DELETE FROM events WHERE run = 'r1' AND seq = 1")
    assert len(await sql.entries("r2")) == 1
    assert set(await sql.open_runs()) == set(await sql.all_runs()) == {"r1", "r2"}


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
async def test_a_fact_that_could_not_be_read_again_is_not_written(sql: SqlJournal) -> None:
    """A defect of the bot would else make the run unreadable for good, with a host half changed."""
    await sql.append("r1", 0, MORNING, [requested()])
    with pytest.raises(Illegal, match="RunHeld that cannot be read"):
        await sql.append("r1", 1, MORNING, [RunHeld(reason=7)])  # type: ignore[arg-type] # the defect
    assert len(await sql.entries("r1")) == 1


async def test_the_hash_is_what_the_readme_of_the_chain_says(sql: SqlJournal, path: Path) -> None:
    """Anybody can check it with nothing but SHA-256 and JSON."""
    await begun(sql)
    previous = ""
    for *columns, found in _change(
        path, "SELECT run, seq, at, kind, version, body, prev_hash, hash FROM events ORDER BY seq"
    ):
        assert columns[-1] == previous
        text = json.dumps(columns, separators=(",", ":"), ensure_ascii=False)
        previous = hashlib.sha256(text.encode()).hexdigest()
        assert found == previous


def _change(path: Path, script: str) -> list[tuple[object, ...]]:
    """What somebody does to the file with another program; returns what the last statement answers."""
    database = sqlite3.connect(path, isolation_level=None)
    try:
        return [row for statement in script.split(";") for row in database.execute(statement).fetchall()]
    finally:
        database.close()
