"""A journal that an older version of the bot has begun: its open runs hold what this one would have them hold."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.adapters.journal import SqlJournal
from bot.core.runs.events import Fact, Outcome, RunEnded, RunHeld
from bot.errors import JournalError, RingClaimed
from tests.contract.journals import SECOND, path, proved, requested, url
from tests.fakes import MORNING

__all__ = ["path"]

BLUE = requested("blue", ip="192.0.2.1", directors=("d1", "d2"))
RED = requested("red", ip="192.0.2.2", directors=("d2", "d1"))
GREEN = requested("green", ip="192.0.2.3", directors=("d1", "d3"))


def _sql(path: Path, *statements: str) -> list[tuple[str, ...]]:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        return [row for statement in statements for row in database.execute(statement).fetchall()]
    finally:
        database.close()


def held(path: Path) -> set[tuple[str, ...]]:
    return set(_sql(path, "SELECT key, run FROM claims"))


async def old_journal(path: Path, **runs: Sequence[Fact]) -> None:
    """A journal as the version before has left it: it knew nothing but the names of rings."""
    async with SqlJournal(url(path)) as journal:
        for number, (run, facts) in enumerate(runs.items()):
            await journal.append(run, 0, MORNING + number * SECOND, facts)
            _sql(path, "DELETE FROM claims")
    _sql(path, "DROP TABLE claims")


async def test_an_open_run_of_an_older_version_claims_its_backend_and_its_directors(path: Path) -> None:
    await old_journal(path, r1=(BLUE, RunHeld(reason="x")))
    async with SqlJournal(url(path)) as journal:
        assert held(path) == {("backend 192.0.2.1", "r1"), ("ssh d1", "r1"), ("ssh d2", "r1")}
        with pytest.raises(RingClaimed, match="the director that `ssh d2` reaches is claimed by run r1"):
            await journal.append("r2", 0, MORNING, [RED])
        await journal.append("r1", 2, MORNING, [RunEnded(outcome=Outcome.DONE)])
        await journal.append("r2", 0, MORNING, [RED])


async def test_it_claims_what_it_has_proved_too_and_a_run_that_is_over_claims_nothing(path: Path) -> None:
    over: list[Fact] = [RED, RunEnded(outcome=Outcome.DONE)]
    await old_journal(path, r1=over, r2=[BLUE, proved("192.0.2.8:9090", "192.0.2.9:9090")])
    async with SqlJournal(url(path)):
        assert {key for key, run in held(path) if run == "r2"} == {key for key, _ in held(path)}
        assert ("director 192.0.2.9:9090", "r2") in held(path)


async def test_two_open_runs_that_share_directors_do_not_keep_the_bot_from_starting(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Possible until now: two rings of the settings behind the same directors. Both are in somebody's hands."""
    await old_journal(path, r1=[BLUE], r2=[RED])
    with caplog.at_level(logging.ERROR):
        async with SqlJournal(url(path)) as journal:
            assert await journal.open_runs() == ("r1", "r2")
            await journal.append("r2", 1, MORNING, [RunHeld(reason="x")])
    assert held(path) == {
        ("backend 192.0.2.1", "r1"),
        ("ssh d1", "r1"),
        ("ssh d2", "r1"),
        ("backend 192.0.2.2", "r2"),
    }
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1
    assert (
        "run r2 and run r1 both claim the director that `ssh d2` reaches, the director that `ssh d1` reaches" in said[0]
    )


async def test_the_second_of_them_takes_over_when_the_first_has_ended_and_the_bot_starts_again(path: Path) -> None:
    await old_journal(path, r1=[BLUE], r2=[RED])
    async with SqlJournal(url(path)) as journal:
        await journal.append("r1", 1, MORNING, [RunEnded(outcome=Outcome.DONE)])
    async with SqlJournal(url(path)) as journal:
        with pytest.raises(RingClaimed, match="is claimed by run r2"):
            await journal.append("r3", 0, MORNING, [GREEN])


@pytest.mark.parametrize("damage", ["UPDATE events SET body = '{}'", "DELETE FROM events WHERE seq = 1"])
async def test_a_damaged_run_does_not_keep_the_journal_from_opening(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    await old_journal(path, r1=[BLUE, RunHeld(reason="x")], r2=[requested("red")])
    await asyncio.to_thread(_sql, path, damage + (" AND" if "WHERE" in damage else " WHERE") + " run = 'r1'")
    with caplog.at_level(logging.ERROR):
        async with SqlJournal(url(path)) as journal:
            assert set(await journal.open_runs()) == {"r1", "r2"}
            with pytest.raises(RingClaimed, match="ring blue is claimed by run r1"):
                await journal.append("r3", 0, MORNING, [requested("blue")])
    assert {run for _, run in held(path)} == {"r2"}
    assert "run r1" in caplog.text


async def test_what_is_sound_before_the_damage_counts(path: Path) -> None:
    await old_journal(path, r1=(BLUE, RunHeld(reason="x")))
    await asyncio.to_thread(_sql, path, "UPDATE events SET body = '{}' WHERE seq = 2")
    async with SqlJournal(url(path)):
        assert ("ssh d1", "r1") in held(path)


async def test_what_an_older_version_of_the_bot_ended_is_free(path: Path) -> None:
    """Somebody went back to it for a day: it frees the ring, and knows nothing of what else was held."""
    async with SqlJournal(url(path)) as journal:
        await journal.append("r1", 0, MORNING, [BLUE])
    await asyncio.to_thread(_sql, path, "DELETE FROM holds")
    async with SqlJournal(url(path)) as journal:
        await journal.append("r2", 0, MORNING, [RED])


async def test_a_journal_of_an_older_version_that_can_only_be_read_is_read(path: Path) -> None:
    """A backup, mounted to be looked at."""
    await old_journal(path, r1=[BLUE])
    async with SqlJournal(f"{url(Path('file:' + str(path)))}?mode=ro&uri=true") as journal:
        assert [entry.fact for entry in await journal.entries("r1")] == [BLUE]
        with pytest.raises(JournalError, match="readonly"):
            await journal.append("r2", 0, MORNING, [GREEN])


@pytest.mark.parametrize("left", ["DELETE FROM claims", "DELETE FROM holds"])
async def test_a_journal_that_can_only_be_read_is_opened_though_there_is_something_to_be_put_right(
    path: Path, left: str
) -> None:
    async with SqlJournal(url(path)) as journal:
        await journal.append("r1", 0, MORNING, [BLUE])
    await asyncio.to_thread(_sql, path, left)
    async with SqlJournal(f"{url(Path('file:' + str(path)))}?mode=ro&uri=true") as journal:
        assert await journal.all_runs() == ("r1",)
