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
from bot.core.hosts.inventory import Inventory
from bot.engine.planning import Catalogue
from bot.engine.service import Service
from bot.errors import Refused
from bot.record.markdown import markdown
from tests.build import NOON, SECOND, Story, library, ring
from tests.contract.journals import path, sql
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
