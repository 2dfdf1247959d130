"""What the tests of released runs and of spoilt rows share: a run that was released, and a service on its journal."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from bot.adapters.journal import SqlJournal
from bot.config import Settings, read_settings
from bot.core.decisions.damage import Release
from bot.core.hosts.inventory import Inventory, Target
from bot.engine.planning import Catalogue
from bot.engine.service import Service
from tests.build import NOON, SECOND, Story, library, ring
from tests.contract.journals import requested
from tests.fakes import FakeJournal, fake_ports

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
