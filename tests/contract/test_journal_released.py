"""What the journal keeps of a run that was released: who did and why, whatever becomes of the run's facts."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from bot import offline
from bot.adapters.journal import SqlJournal
from bot.adapters.slack.thread.damage import beside_an_answer
from bot.config import Settings
from bot.core.decisions.approval import Person
from bot.core.decisions.damage import damage_in_words
from bot.core.decisions.decide import GoBack
from bot.errors import Refused
from bot.record.markdown import markdown
from tests.build import NOON, SECOND, Story
from tests.contract.journals import path, sql
from tests.contract.releases import READABLE_AGAIN, RELEASE, RUN, change, other, released, service, settings, tell

__all__ = ["path", "released", "settings", "sql"]


# a run that can be read again: the bot was upgraded, or its rows came back from a backup


async def test_the_record_says_who_released_a_run_that_can_be_read_again(
    released: SqlJournal, path: Path, settings: Settings
) -> None:
    """Else an auditor reads of a run that goes on for ever, and nothing of who let its ring go."""
    change(path, READABLE_AGAIN)
    entries, found = await offline.readable(settings, RUN)
    assert len(entries) == len(await released.entries(RUN))
    record = markdown(entries, damage=found)
    assert f"- Released: by {SECOND}, 2026-03-01 12:00:00 UTC: `backend-3 is served by hand`" in record
    assert "is damaged" not in record


async def test_a_run_that_was_released_is_not_listed_as_one_under_way(
    released: SqlJournal, path: Path, settings: Settings
) -> None:
    """It was listed as `ready` while nobody brings it forward, and another run may have its ring."""
    change(path, READABLE_AGAIN)
    surveys = [await offline.survey(settings, verify=verify) for verify in (False, True)]
    for survey in (*surveys, await service(released).survey(most=20)):
        assert survey.runs == ()
        (found,) = survey.damaged
        words = damage_in_words(found)
        assert f"Run {RUN} was released by <@{SECOND}>" in words
        assert "backend-3 (192.0.2.13) of ring main" in words
        assert "`doveadm director update 192.0.2.13 100` was done" in words
        assert "damaged" not in words + beside_an_answer(found).text


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
    for survey in (await offline.survey(settings), await service(released).survey(most=20)):
        assert [run.id for run in survey.runs] == ["r2025b"]
        (found,) = survey.damaged
        assert (found.run, found.release, found.claims) == (RUN, None, False)
        words = damage_in_words(found)
        assert "The row of its release (table releases) is damaged" in words
        assert "by whom and why is not known" in words
        assert "is damaged" in beside_an_answer(found).text
    entries, damage = await offline.readable(settings, RUN)
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
    survey = await offline.survey(settings)
    assert ([run.id for run in survey.runs], survey.damaged) == ([RUN], ())
    entries, damage = await offline.readable(settings, RUN)
    record = markdown(entries, damage=damage)
    assert "it says that the run was released, and the run has what it claims" in record
    assert "U0EVE" not in record


# a row of a release that somebody has altered


@pytest.mark.parametrize(
    "altered",
    [
        "by = 'U0EVE'",
        "at = '2026-03-01T12:00:01.000000+00:00'",
        "reason = reason || ' '",
        "hash = 'no'",
        "prev_hash = ''",
        "prev_hash = x'ff'",
        "hash = NULL",
        "prev_hash = NULL",
    ],
)
@pytest.mark.usefixtures("released")
async def test_a_release_that_was_altered_is_seen(path: Path, settings: Settings, altered: str) -> None:
    """Who let a ring go could be made anybody."""
    change(path, f"UPDATE releases SET {altered}")
    entries, damage = await offline.readable(settings, RUN)
    record = markdown(entries, damage=damage)
    assert "(table releases) is damaged: it was altered after it was written (hash)" in record
    assert "was released by" not in record


async def test_a_release_that_went_to_another_run_is_seen(released: SqlJournal, path: Path) -> None:
    await released.append("r2025b", 0, NOON, [replace(Story().run.request, target=other())])
    change(path, "DELETE FROM holds", "DELETE FROM claims", "UPDATE releases SET run = 'r2025b'")
    found = await released.examine("r2025b")
    assert found is not None
    assert (found.release, found.release_flaw) == (None, "it was altered after it was written (hash)")


async def test_a_release_whose_hash_was_taken_away_is_said_to_have_none(released: SqlJournal, path: Path) -> None:
    """As all of an older version of the bot have none, they count; and nobody is made believe that they are proved."""
    change(path, "UPDATE releases SET by = 'U0EVE', prev_hash = NULL, hash = NULL")
    found = await released.examine(RUN)
    assert found is not None
    assert "its row has no hash, as older versions of the bot wrote it" in damage_in_words(found)


async def test_a_release_says_when_the_fact_that_it_follows_is_not_there_any_more(
    released: SqlJournal, path: Path, settings: Settings
) -> None:
    """It is chained to the last sound fact: rows cut off behind one that stands show by that."""
    assert (await released.examine(RUN)).release == RELEASE  # type: ignore[union-attr]
    change(path, "DELETE FROM events WHERE seq > 18")
    entries, damage = await offline.readable(settings, RUN)
    said = "(the fact that it follows is not there as it was then): `backend-3 is served by hand`"
    assert said in markdown(entries, damage=damage)


@pytest.mark.usefixtures("released")
async def test_the_hash_of_a_release_is_what_anybody_can_check(path: Path) -> None:
    database = sqlite3.connect(path)
    columns = list(database.execute("SELECT run, by, at, reason, prev_hash, hash FROM releases").fetchone())
    (last,) = database.execute("SELECT hash FROM events WHERE seq = 19").fetchone()
    database.close()
    text = json.dumps(columns[:-1], separators=(",", ":"), ensure_ascii=False)
    assert columns[-2:] == [last, hashlib.sha256(text.encode()).hexdigest()]


OLDER = ("ALTER TABLE releases DROP COLUMN hash", "ALTER TABLE releases DROP COLUMN prev_hash")


async def test_a_journal_whose_releases_have_no_hashes_yet_is_looked_at_as_it_is_and_gets_them_with_the_next(
    released: SqlJournal, path: Path, settings: Settings
) -> None:
    await released.close()
    change(path, *OLDER)
    for looked in ((await offline.survey(settings)).damaged, (await offline.survey(settings, verify=True)).damaged):
        (found,) = looked
        assert found.release is not None
        assert found.release.remark.startswith("its row has no hash")
    async with SqlJournal(f"sqlite:///{path}") as journal, SqlJournal(f"sqlite:///{path}") as beside_it:
        assert (await journal.examine(RUN)) == (await beside_it.examine(RUN)) == found
        await tell(journal, Story().until("drain"), "r2025b")
        change(path, "UPDATE events SET version = 2 WHERE seq = 7 AND run = 'r2025b'")
        given = replace(RELEASE, run="r2025b")
        await journal.release(given)
        other_run = await journal.examine("r2025b")
    assert other_run is not None
    assert other_run.release == given


@pytest.mark.parametrize("tables", [("releases",), ("releases", "claims"), ("releases", "claims", "summaries")])
async def test_a_journal_of_an_older_version_that_is_looked_at_says_what_a_damaged_run_claims(
    sql: SqlJournal, path: Path, settings: Settings, tables: tuple[str, ...]
) -> None:
    """With the new version installed and not yet started: the list said that it claims nothing."""
    await tell(sql, Story().until("drain"))
    await sql.close()
    change(path, "UPDATE events SET version = 2 WHERE seq = 7", *(f"DROP TABLE {table}" for table in tables))
    (found,) = (await offline.survey(settings)).damaged
    assert found.rings == ("main",)
