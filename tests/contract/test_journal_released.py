"""What the journal keeps of a run that was released: who did and why, whatever becomes of the run's facts."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot import bootstrap
from bot.adapters.journal import SqlJournal
from bot.adapters.slack.thread.damage import beside
from bot.config import Settings, read_settings
from bot.core.decisions.approval import Person
from bot.core.decisions.damage import Release, damage_in_words
from bot.core.decisions.decide import GoBack
from bot.core.hosts.inventory import Inventory, Target
from bot.engine.planning import Catalogue
from bot.engine.service import Service
from bot.errors import Refused, RingClaimed
from bot.record.markdown import markdown
from tests.build import NOON, SECOND, Story, library, ring
from tests.contract.journals import path, requested, sql
from tests.fakes import FakeJournal, fake_ports

__all__ = ["path", "sql"]

ROOT = Path(__file__).parents[2]
RUN = "r2025a"
RELEASE = Release(run=RUN, by=SECOND, at=NOON, reason="backend-3 is served by hand")


def change(path: Path, *statements: str) -> None:
    """What somebody does to the file with another program."""
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        database.execute(statement)
    database.close()


async def tell(journal: SqlJournal, story: Story, run: str = RUN) -> None:
    for entry in story.entries:
        await journal.append(run, entry.seq - 1, entry.at, (entry.fact,))


async def let_go(journal: SqlJournal, path: Path) -> None:
    """An older version of the bot could not read the run, with its backend out: an approver has released it."""
    await tell(journal, Story().until("director-up"))
    change(path, "UPDATE events SET version = 2 WHERE seq = 20")
    await journal.release(RELEASE)


READABLE_AGAIN = "UPDATE events SET version = 1 WHERE seq = 20"


@pytest.fixture
async def released(sql: SqlJournal, path: Path) -> AsyncIterator[SqlJournal]:
    await let_go(sql, path)
    yield sql


@pytest.fixture
def settings(path: Path, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    example = (ROOT / "deploy" / "dovecot-bot.toml").read_text()
    file = tmp_path_factory.mktemp("settings") / "dovecot-bot.toml"
    file.write_text(example.replace("/var/lib/dovecot-bot/journal.db", str(path)))
    return read_settings(file)


def other() -> Target:
    """A backend of a ring of its own."""
    return requested("blue").target


def service(journal: SqlJournal) -> Service:
    """What Slack calls, on that journal."""
    catalogue = Catalogue(inventory=Inventory(rings=(ring(),)), procedures=library().procedures, rules=library().rules)
    return Service(replace(fake_ports(FakeJournal()), journal=journal), catalogue, lambda: "r2025b")


# a run that can be read again: the bot was upgraded, or its rows came back from a backup


async def test_the_record_says_who_released_a_run_that_can_be_read_again(
    released: SqlJournal, path: Path, settings: Settings
) -> None:
    """Else an auditor reads of a run that goes on for ever, and nothing of who let its ring go."""
    change(path, READABLE_AGAIN)
    entries, found = await bootstrap.readable(settings, RUN)
    assert len(entries) == len(await released.entries(RUN))
    record = markdown(entries, damage=found)
    assert f"- Released: by {SECOND}, 2026-03-01 12:00:00 UTC: `backend-3 is served by hand`" in record
    assert "is damaged" not in record


async def test_a_run_that_was_released_is_not_listed_as_one_under_way(
    released: SqlJournal, path: Path, settings: Settings
) -> None:
    """It was listed as `ready` while nobody brings it forward, and another run may have its ring."""
    change(path, READABLE_AGAIN)
    surveys = [await bootstrap.survey(settings, verify=verify) for verify in (False, True)]
    for survey in (*surveys, await service(released).survey(most=20)):
        assert survey.runs == ()
        (found,) = survey.damaged
        words = damage_in_words(found)
        assert f"Run {RUN} was released by <@{SECOND}>" in words
        assert "backend-3 (192.0.2.13) of ring main" in words
        assert "`doveadm director update 192.0.2.13 100` was done" in words
        assert "damaged" not in words + beside(found).text


async def test_a_button_of_a_run_that_was_released_says_so(released: SqlJournal, path: Path) -> None:
    """Its buttons are still in the thread: *see the bot's log* helps nobody on a phone, and the log says nothing."""
    change(path, READABLE_AGAIN)
    person = Person(id=SECOND, may_ask=True, may_approve=True)
    asked = service(released)
    with pytest.raises(Refused, match=f"was released by <@{SECOND}>.*backend-3 is served by hand"):
        await asked.steer(RUN, GoBack(person=person, reason="no more"))
    with pytest.raises(Refused, match=f"was released by <@{SECOND}>"):
        await asked.release(RUN, person, "me too")
    await asked.close()


# a row of a release that a stranger, or a failing disk, has spoilt


SPOILT = {
    "a day that is none": "at = '2026-03-71T12:00:00+00:00'",
    "a time of no zone": "at = '2026-03-01T12:00:00'",
    "bytes as its time": "at = x'ff'",
    "bytes as the reason": "reason = x'78'",
    "bytes as who": "by = x'5530'",
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
@pytest.mark.parametrize("again", [False, True], ids=["damaged", "read again"])
async def test_a_damaged_row_of_a_release_is_that_runs_flaw_and_hides_no_other(
    released: SqlJournal, path: Path, settings: Settings, spoilt: str, again: bool
) -> None:
    """One flipped bit beside one run, and the list of all runs was a traceback, in Slack too."""
    await tell(released, Story(), "r2025b")
    change(path, f"UPDATE releases SET {spoilt}", *([READABLE_AGAIN] if again else []))
    for survey in (await bootstrap.survey(settings), await service(released).survey(most=20)):
        assert [run.id for run in survey.runs] == ["r2025b"]
        (found,) = survey.damaged
        assert (found.run, found.release, found.claims) == (RUN, None, False)
        words = damage_in_words(found)
        assert "The row of its release (table releases) is damaged" in words
        assert "by whom and why is not known" in words
        assert "is damaged" in beside(found).text
    entries, damage = await bootstrap.readable(settings, RUN)
    assert "The row of its release (table releases) is damaged" in markdown(entries, damage=damage)


FORGED = "INSERT INTO releases (run, by, at, reason) VALUES ('r2025a', 'U0EVE', '{}', 'it serves')"


@pytest.mark.parametrize("at", ["no time", "2026-03-01T12:00:00+00:00"])
async def test_a_row_that_has_freed_nothing_is_no_release_and_keeps_nobody_from_giving_one(
    sql: SqlJournal, path: Path, at: str
) -> None:
    """In doubt the ring stays claimed: a row alone frees it for nobody."""
    await tell(sql, Story().until("drain"))
    change(path, "UPDATE events SET version = 2 WHERE seq = 7", FORGED.format(at))
    found = await sql.examine(RUN)
    assert found is not None
    assert (found.rings, found.release) == (("main",), None)
    words = damage_in_words(found)
    assert "stays claimed until an approver releases it" in words
    assert "The row of its release (table releases) is damaged" in words
    asked = service(sql)
    given = await asked.release(RUN, Person(id=SECOND, may_ask=True, may_approve=True), "seen by hand")
    assert given.release is not None
    again = await sql.examine(RUN)
    assert again is not None
    assert (again.rings, again.release) == ((), given.release)
    await asked.close()


async def test_a_run_that_goes_on_is_not_stopped_by_such_a_row_and_its_record_names_it(
    sql: SqlJournal, path: Path, settings: Settings
) -> None:
    await tell(sql, Story().until("drain"))
    change(path, FORGED.format("2026-03-01T12:00:00+00:00"))
    survey = await bootstrap.survey(settings)
    assert ([run.id for run in survey.runs], survey.damaged) == ([RUN], ())
    entries, damage = await bootstrap.readable(settings, RUN)
    record = markdown(entries, damage=damage)
    assert "it says that the run was released, and the run has what it claims" in record
    assert "U0EVE" not in record


# bytes, or a text that is no UTF-8, in the place of a run's id


@pytest.mark.parametrize("id_", ["x'7232303235ff'", "CAST(x'72ff' AS TEXT)", "CAST('r2025a' AS BLOB)"])
@pytest.mark.parametrize("which", ["seq = 9", "seq > 0"], ids=["one fact", "all facts"])
async def test_facts_under_what_is_no_id_are_told_and_hide_no_run(
    sql: SqlJournal, path: Path, settings: Settings, id_: str, which: str
) -> None:
    """A list of all runs was a traceback: bytes and texts cannot be sorted."""
    await tell(sql, Story().until("drain"))
    await sql.listed()
    change(path, f"UPDATE events SET run = {id_} WHERE {which}")
    await sql.append("r2025b", 0, NOON, [replace(Story().run.request, target=other())])
    for verify in (False, True):
        survey = await bootstrap.survey(settings, verify=verify)
        assert [run.id for run in survey.runs] == ["r2025b"]
        (there, spoilt) = sorted(survey.damaged, key=lambda found: found.run != RUN)
        assert (there.run, there.rings, len(there.sound)) == (RUN, ("main",), 8 if which == "seq = 9" else 0)
        assert "that is no id of a run, and" in damage_in_words(spoilt)
        assert await sql.examine(spoilt.run) == spoilt
    if "TEXT" not in id_:  # which shows when the bot starts
        assert {found.run for found in (await service(sql).survey(most=20)).damaged} == {RUN, spoilt.run}
    for _ in range(2):
        async with SqlJournal(f"sqlite:///{path}") as started:
            assert {found.run for found in (await service(started).survey()).damaged} == {RUN, spoilt.run}


@pytest.mark.parametrize("column", ["run", "began"])
async def test_bytes_in_the_index_of_runs_hide_no_run(
    sql: SqlJournal, path: Path, settings: Settings, column: str
) -> None:
    await tell(sql, Story().until(None))
    await sql.append("r2025b", 0, NOON, [replace(Story().run.request, target=other())])
    change(path, f"UPDATE summaries SET {column} = x'ff' WHERE run = '{RUN}'")
    for survey in (await bootstrap.survey(settings), await service(sql).survey(most=20)):
        assert {run.id for run in survey.runs} == {RUN, "r2025b"}
        assert (survey.count, survey.damaged) == (2, ())


@pytest.mark.parametrize("table", ["holds", "claims"])
async def test_bytes_in_the_place_of_whoever_claims_something_keep_it_claimed(
    sql: SqlJournal, path: Path, table: str
) -> None:
    await tell(sql, Story().until("drain"))
    change(path, f"UPDATE {table} SET run = x'ff'")
    with pytest.raises(RingClaimed):
        await sql.append("r2025b", 0, NOON, [Story().run.request])
    assert set(await sql.open_runs()) == {"x'ff'" if table == "holds" else RUN}
    assert (await sql.examine("x'ff'")) is not None
