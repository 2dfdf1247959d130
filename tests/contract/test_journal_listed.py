"""The runs as a journal lists them: of those that have ended, what an index says; the index says what the facts say."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from bot import offline
from bot.adapters.journal import SqlJournal
from bot.config import Settings, read_settings
from bot.core.decisions.damage import damage_in_words
from bot.core.decisions.summary import Summary, summary_of
from bot.core.runs.events import Outcome, RunEnded, RunHeld
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.engine.ports import Journal
from bot.engine.surveying import read_run, surveyed
from bot.errors import JournalError
from tests.contract.journals import SECOND, at_each_begin, path, requested, sql, url
from tests.fakes import MORNING, FakeJournal
from tests.unit.stories import aborted_in_the_drain, happy, moved_first, refused, turned_round

__all__ = ["path", "sql"]

ROOT = Path(__file__).parents[2]
PAST = {"r1": happy, "r2": turned_round, "r3": refused, "r4": aborted_in_the_drain, "r5": moved_first}
OPEN = "r6"


@pytest.fixture(params=["fake", "sql"])
async def journal(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[Journal]:
    if request.param == "fake":
        yield FakeJournal()
        return
    async with SqlJournal(url(path)) as journal:
        yield journal


async def lived(journal: Journal) -> None:
    """A journal with a past, and a run under way that began in the midst of it."""
    for hours, (run, made) in enumerate(PAST.items()):
        story = made()
        if story.run.status is not Status.ENDED:
            story.tell(RunEnded(outcome=Outcome.DONE))
        facts = [entry.fact for entry in story.entries]
        await journal.append(run, 0, MORNING + timedelta(hours=hours), facts[:-1])
        await journal.append(run, len(facts) - 1, MORNING + timedelta(hours=hours, minutes=20), facts[-1:])
    await journal.append(OPEN, 0, MORNING + timedelta(hours=2, minutes=30), [requested()])


async def folded(journal: Journal) -> tuple[Summary, ...]:
    """What all facts of the runs that have ended say, the newest run first."""
    runs = [fold(await journal.entries(run)) for run in reversed(tuple(PAST))]
    return tuple(summary_of(run) for run in runs if run)


def spoil(path: Path, *statements: str) -> list[tuple[object, ...]]:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        return [row for statement in statements for row in database.execute(statement).fetchall()]
    finally:
        database.close()


def index(path: Path) -> list[tuple[object, ...]]:
    return spoil(path, "SELECT run, began, seq, body FROM summaries ORDER BY run")


def read_only(path: Path) -> SqlJournal:
    return SqlJournal(f"{url(Path('file:' + str(path)))}?mode=ro&uri=true")


# what every journal promises


async def test_what_is_listed_of_a_run_that_has_ended_is_what_its_facts_say(journal: Journal) -> None:
    await lived(journal)
    listed = await journal.listed()
    assert listed.ended == await folded(journal)
    assert [one.outcome for one in listed.ended] == ["done", "went back", "refused", "went back", "done"]
    assert (listed.count, listed.others) == (5, (OPEN,))


async def test_the_newest_are_listed_and_all_are_counted(journal: Journal) -> None:
    await lived(journal)
    listed = await journal.listed(2)
    assert [one.id for one in listed.ended] == ["r5", "r4"]
    assert (listed.count, listed.others) == (5, (OPEN,))


async def test_a_run_that_cannot_be_is_among_the_others(journal: Journal) -> None:
    """It was told as ended; then somebody wrote a fact behind its last one."""
    await journal.append("r1", 0, MORNING, [requested(), RunEnded(outcome=Outcome.REFUSED)])
    await journal.append("r2", 0, MORNING + SECOND, [requested()])
    assert (await journal.listed()).others == ("r2",)
    await journal.append("r1", 2, MORNING, [RunHeld(reason="after the end")])
    listed = await journal.listed()
    assert (listed.ended, listed.count, listed.others) == ((), 0, ("r1", "r2"))


async def test_a_survey_has_the_newest_first_whether_they_have_ended_or_not(journal: Journal) -> None:
    await lived(journal)
    survey = await surveyed(await journal.listed(2), partial(read_run, journal))
    assert [run.id for run in survey.runs] == ["r5", "r4", OPEN]
    assert [type(run) for run in survey.runs] == [Summary, Summary, Run]
    assert (survey.count, survey.damaged) == (6, ())


# what SQL promises besides


async def test_the_index_is_written_with_the_last_fact_or_not_at_all(sql: SqlJournal, path: Path) -> None:
    def no_more_pages(connection: object) -> None:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]

    await sql.append("r1", 0, MORNING, [requested()])
    much = [RunHeld(reason="x" * 3000) for _ in range(100)]
    with at_each_begin(no_more_pages), pytest.raises(JournalError, match="is full"):
        await sql.append("r1", 1, MORNING, [*much, RunEnded(outcome=Outcome.DONE)])
    assert [row[3] for row in index(path)] == [None]
    with at_each_begin(lambda connection: connection.exec_driver_sql("PRAGMA max_page_count = 1000000")):
        await sql.append("r1", 1, MORNING, [RunEnded(outcome=Outcome.DONE)])
    assert ["done" in str(row[3]) for row in index(path)] == [True]


async def test_a_list_is_read_from_the_index_and_nothing_else_is(sql: SqlJournal, path: Path) -> None:
    """With thousands of past runs a list would read gigabytes; a record reads every fact, and only facts."""
    await lived(sql)
    facts = await sql.entries("r1")
    spoil(path, "UPDATE summaries SET body = replace(body, 'backend-3', 'backend-9')")
    assert {one.backend for one in (await sql.listed()).ended} == {"backend-9"}
    assert await sql.entries("r1") == facts
    assert await sql.examine("r1") is None


@pytest.mark.parametrize(
    "lost",
    [
        ("DROP TABLE summaries",),
        ("DELETE FROM summaries",),
        ("DROP TRIGGER events_altered", "DROP TRIGGER events_deleted", "DROP TABLE summaries"),
    ],
    ids=["the table", "its rows", "as an older version has it"],
)
async def test_a_journal_without_an_index_gets_it(sql: SqlJournal, path: Path, lost: tuple[str, ...]) -> None:
    await lived(sql)
    written, expected = index(path), await folded(sql)
    await sql.close()
    spoil(path, *lost)
    async with SqlJournal(url(path)) as journal:
        assert (await journal.listed(2)).ended == expected[:2]
        assert index(path) == written
        listed = await journal.listed()
    assert (listed.ended, listed.count, listed.others) == (expected, 5, (OPEN,))


async def test_a_journal_without_an_index_that_can_only_be_read_is_listed(sql: SqlJournal, path: Path) -> None:
    """A backup, mounted to be looked at."""
    await lived(sql)
    expected = await folded(sql)
    await sql.close()
    for lost in ("DELETE FROM summaries", "DROP TABLE summaries"):
        spoil(path, lost)
        async with read_only(path) as journal:
            listed = await journal.listed(2)
        assert (listed.ended, listed.count, listed.others) == (expected[:2], 5, (OPEN,))


@pytest.mark.parametrize("body", ["'{}'", "'no JSON'", "''", "x'00ff'", "CAST(x'ff' AS TEXT)"])
async def test_what_cannot_be_read_in_the_index_is_made_anew(sql: SqlJournal, path: Path, body: str) -> None:
    """As after an update of the bot whose lists show more."""
    await lived(sql)
    written, expected = index(path), await folded(sql)
    spoil(path, f"UPDATE summaries SET body = {body} WHERE run IN ('r1', 'r4')")
    listed = await sql.listed()
    assert (listed.ended, listed.count, listed.others) == (expected, 5, (OPEN,))
    assert index(path) == written


async def test_two_who_list_a_journal_without_an_index_do_not_hinder_each_other(sql: SqlJournal, path: Path) -> None:
    await lived(sql)
    written, expected = index(path), await folded(sql)
    spoil(path, "DELETE FROM summaries")
    async with SqlJournal(url(path)) as other:
        both = await asyncio.gather(sql.listed(), other.listed())
    assert [listed.ended for listed in both] == [expected, expected]
    assert index(path) == written


@pytest.mark.parametrize(
    ("spoilt", "flaw"),
    [
        ("UPDATE events SET body = body || ' ' WHERE seq = 9", "fact 9: it was altered"),
        ("UPDATE events SET body = CAST(substr(body, 1, 9) || x'ff' AS TEXT) WHERE seq = 9", "fact 9: it was altered"),
        ("UPDATE events SET version = 'one' WHERE seq = 9", "fact 9: it was altered"),
        ("UPDATE events SET hash = 'no' WHERE seq = 1", "fact 1: it was altered"),
        ("UPDATE events SET seq = seq + 1 WHERE seq = (SELECT max(seq) FROM events WHERE run = 'r4')", "is missing"),
        ("DELETE FROM events WHERE seq = 1", "fact 1: it is missing"),
        ("DELETE FROM events WHERE seq = 9", "fact 9: it is missing"),
    ],
)
async def test_a_run_that_was_altered_after_it_had_ended_is_told_as_damaged(
    sql: SqlJournal, path: Path, spoilt: str, flaw: str
) -> None:
    """What the index had said of it counts no more, whatever program changed the row."""
    await lived(sql)
    await sql.listed()
    spoil(path, f"{spoilt} AND run = 'r4'")
    for most in (None, 1, 1):
        listed = await sql.listed(most)
        assert (listed.count, set(listed.others)) == (4, {"r4", OPEN})
    survey = await surveyed(listed, partial(read_run, sql))
    (found,) = survey.damaged
    assert found.run == "r4"
    assert flaw in damage_in_words(found)


@pytest.mark.parametrize(
    ("written", "damaged"),
    [
        ("INSERT INTO events SELECT run, seq + 1, at, kind, version, body, prev_hash, hash FROM events", ["r4"]),
        ("DELETE FROM events", []),
    ],
)
async def test_a_row_behind_its_end_and_no_row_at_all_are_seen_too(
    sql: SqlJournal, path: Path, written: str, damaged: list[str]
) -> None:
    """Of a run that holds nothing and has no facts nothing is known, as ever."""
    await lived(sql)
    last = " AND seq = (SELECT max(seq) FROM events WHERE run = 'r4')" if written.startswith("INSERT") else ""
    spoil(path, f"{written} WHERE run = 'r4'{last}")
    survey = await surveyed(await sql.listed(), partial(read_run, sql))
    assert [run.id for run in survey.runs] == ["r5", OPEN, "r3", "r2", "r1"]
    assert ([found.run for found in survey.damaged], survey.count) == (damaged, 5)


async def test_rows_that_went_to_another_run_are_missed_in_both(sql: SqlJournal, path: Path) -> None:
    await lived(sql)
    spoil(
        path,
        "DELETE FROM events WHERE run = 'r3' AND seq = 4",
        "UPDATE events SET run = 'r3' WHERE run = 'r4' AND seq = 4",
    )
    survey = await surveyed(await sql.listed(), partial(read_run, sql))
    assert {found.run for found in survey.damaged} == {"r3", "r4"}


def settings(path: Path) -> Settings:
    """The example's, with this journal."""
    example = (ROOT / "deploy" / "dovecot-bot.toml").read_text()
    file = path.with_suffix(".toml")
    file.write_text(example.replace("/var/lib/dovecot-bot/journal.db", str(path)))
    return read_settings(file)


async def test_the_command_line_lists_all_and_verifies_all_when_it_is_told_to(sql: SqlJournal, path: Path) -> None:
    """A bit that flips on the disk fires no trigger: the list goes on, and whoever verifies is told."""
    await lived(sql)
    chosen = await asyncio.to_thread(settings, path)
    for verify in (False, True):
        found = await offline.survey(chosen, verify=verify)
        assert [run.id for run in found.runs] == ["r5", "r4", OPEN, "r3", "r2", "r1"]
        assert (found.count, found.damaged) == (6, ())
    spoil(path, "DROP TRIGGER events_altered", "UPDATE events SET body = body || ' ' WHERE run = 'r4' AND seq = 9")
    assert (await offline.survey(chosen)).damaged == ()
    (found_damaged,) = (await offline.survey(chosen, verify=True)).damaged
    assert (found_damaged.run, found_damaged.flaw[:6]) == ("r4", "fact 9")
