"""The log: a line says which run it is about, in fields that can be searched for."""

from __future__ import annotations

import logging
import sys

import pytest

from bot import bootstrap
from bot.core.runs.events import RunHeld
from bot.engine.runs.runlog import RunLog, fields
from tests.build import Story
from tests.fakes import FakeJournal, fake_ports

ABOUT = fields(Story().until("stop-dovecot").run)


def line(text: str, **given: object) -> str:
    record = logging.makeLogRecord({"levelname": "WARNING", "name": "bot", "msg": text, **given})
    return bootstrap.LogLine("%(levelname)s %(name)s: %(message)s").format(record)


def test_what_is_about_a_run_ends_with_its_id_its_last_fact_and_its_step() -> None:
    assert line("went wrong", **ABOUT) == f"WARNING bot: went wrong run=r2025a seq={ABOUT['seq']} step=stop-dovecot"


def test_what_is_about_no_run_has_no_fields() -> None:
    assert line("the bot is up") == "WARNING bot: the bot is up"


def test_one_thing_is_one_line_whatever_a_host_said() -> None:
    """Else somebody could write lines of the log by what a host answers."""
    assert line("it said: a\nERROR bot: b\r\nc\x1b[2J", run="r1") == "WARNING bot: it said: a ERROR bot: b c[2J run=r1"


def test_a_secret_is_hidden_in_the_line_and_in_the_traceback_below_it() -> None:
    try:
        int("password = hunter22")
    except ValueError:
        written = line("token xoxb-1234567890-abcdefghij", exc_info=sys.exc_info(), **ABOUT)
    first, *traceback = written.splitlines()
    assert first.endswith(f"run=r2025a seq={ABOUT['seq']} step=stop-dovecot")
    assert "Traceback" in traceback[0]
    assert "hunter22" not in written
    assert "xoxb-1234567890" not in written


async def test_every_fact_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    """So `grep run=r2025a` shows what a run did, and when."""
    story = Story().until("stop-dovecot")
    kept = RunLog(fake_ports(FakeJournal({story.run.id: list(story.entries)})), story.run)
    seq = story.run.seq + 1
    with caplog.at_level(logging.INFO):
        await kept.record(RunHeld(reason="somebody said so"))
    (record,) = caplog.records
    formatted = bootstrap.LogLine("%(message)s").format(record)
    assert formatted == f"RunHeld run={story.run.id} seq={seq} step=stop-dovecot"
