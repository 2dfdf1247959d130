"""A journal in which a stranger, or a failing disk, has spoilt a run: what is wrong with it, and what it holds."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bot.adapters.journal import SqlJournal
from bot.core.decisions.damage import Release
from bot.errors import Illegal
from tests.contract.journals import SECOND, begun, path, requested, sql, url
from tests.fakes import MORNING

__all__ = ["path", "sql"]


def spoil(path: Path, *statements: str) -> None:
    with sqlite3.connect(path) as database:
        for statement in statements:
            database.execute(statement)
    database.close()


@pytest.mark.parametrize(
    "spoilt",
    [
        "UPDATE events SET body = CAST(substr(body, 1, 9) || x'ff' || substr(body, 11) AS TEXT) WHERE seq = 3",
        "UPDATE events SET body = x'00ff' WHERE seq = 3",
        "UPDATE events SET body = zeroblob(100) WHERE seq = 3",
        "UPDATE events SET version = 'one' WHERE seq = 3",
        "UPDATE events SET version = x'01' WHERE seq = 3",
        "UPDATE events SET at = x'ff' WHERE seq = 3",
        "UPDATE events SET kind = CAST(x'ff' AS TEXT) WHERE seq = 3",
        "UPDATE events SET hash = CAST(x'ff' AS TEXT) WHERE seq = 3",
        "UPDATE events SET prev_hash = CAST(x'ff' AS TEXT) WHERE seq = 3",
        "UPDATE events SET body = replace(body, 'stop', 'start') WHERE seq = 3",
        "DELETE FROM events WHERE seq = 3",
    ],
)
async def test_whatever_a_row_holds_the_run_is_damaged_there_and_the_others_are_read(
    sql: SqlJournal, path: Path, spoilt: str
) -> None:
    """A flipped bit made the database's driver fail, and with it everything that read the run."""
    sound = await begun(sql)
    await sql.append("r2", 0, MORNING + SECOND, [requested("red")])
    spoil(path, f"{spoilt} AND run = 'r1'")
    for after in (0, 2):
        with pytest.raises(Illegal, match=r"^run r1, fact 3: "):
            await sql.entries("r1", after=after)
    found = await sql.examine("r1")
    assert found is not None
    assert found.flaw.startswith("fact 3: ")
    assert found.sound == sound[:2]
    assert found.rings == ("blue",)
    assert await sql.examine("r2") is None


async def test_a_run_whose_facts_are_gone_still_claims_its_ring_and_says_which(sql: SqlJournal, path: Path) -> None:
    await begun(sql)
    spoil(path, "DELETE FROM events")
    found = await sql.examine("r1")
    assert found is not None
    assert (found.last, found.rings) == (None, ("blue",))
    assert any(key.startswith("backend ") for key in found.keys)
    assert await sql.open_runs() == ("r1",)


async def test_a_journal_of_an_older_version_is_opened_and_lets_go_too(sql: SqlJournal, path: Path) -> None:
    await begun(sql)
    await sql.close()
    spoil(path, "DROP TABLE releases", "DELETE FROM events WHERE seq = 1")
    release = Release(run="r1", by="U2", at=MORNING, reason="seen")
    async with SqlJournal(url(path)) as journal:
        await journal.release(release)
        await journal.append("r2", 0, MORNING, [requested()])
    async with SqlJournal(url(path)) as journal:
        found = await journal.examine("r1")
        assert found is not None
        assert found.release == release


async def test_a_journal_of_an_older_version_that_can_only_be_read_is_examined_too(sql: SqlJournal, path: Path) -> None:
    await begun(sql)
    spoil(path, "DROP TABLE releases", "UPDATE events SET body = '{}' WHERE seq = 2")
    async with SqlJournal(f"{url(Path('file:' + str(path)))}?mode=ro&uri=true") as only_read:
        found = await only_read.examine("r1")
    assert found is not None
    assert found.flaw.startswith("fact 2: ")
