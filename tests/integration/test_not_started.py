"""A bot that cannot start while runs are under way: people are called, as nobody watches what is out."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot import bootstrap
from bot.adapters.journal import SqlJournal
from bot.config import Tokens, read_settings
from bot.errors import Misconfigured
from bot.practice.slack.api import APP_TOKEN, BOT_TOKEN
from bot.practice.slack.server import LocalSlack
from tests.build import Story
from tests.integration.workspace import CHANNEL, slack
from tests.patience import SECONDS
from tests.unit.test_config import GOOD, settings

__all__ = ["slack"]


def tokens(slack: LocalSlack) -> Tokens:
    return Tokens(bot_token=SecretStr(BOT_TOKEN), app_token=SecretStr(APP_TOKEN), api_url=slack.api_url)


def spoilt(folder: Path) -> Path:
    """Settings whose SSH config is not there."""
    return settings(folder, GOOD.replace("[slack]", '[ssh]\nconfig = "nowhere"\n[slack]'))


async def recorded(story: Story, folder: Path) -> None:
    async with SqlJournal(f"sqlite:///{folder / 'journal.db'}") as journal:
        for entry in story.entries:
            await journal.append(story.run.id, entry.seq - 1, entry.at, (entry.fact,))


async def test_a_bot_that_cannot_start_names_the_runs_that_nobody_watches(
    tmp_path: Path, slack: LocalSlack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Once for each start: it is a quarter of an hour until the next one, not the five seconds of systemd."""
    story = Story().until("director-down").fail("director-1: users is 19, expected 0")
    await recorded(story, tmp_path)
    monkeypatch.setattr(bootstrap, "_SAID_AGAIN", timedelta(seconds=1))
    async with asyncio.timeout(SECONDS):
        with pytest.raises(Misconfigured, match="nowhere: the settings name this SSH config"):
            await bootstrap.serve(read_settings(spoilt(tmp_path)), tokens(slack))
    (call,) = slack.messages
    assert call.channel == CHANNEL
    for part in (
        "The bot does not start",
        "r2025a",
        "backend-3",
        "users is 19, expected 0",
        "nowhere: the settings name",
    ):
        assert part in str(call.blocks)
    assert "nobody watches: r2025a on backend-3" in caplog.text


async def test_it_ends_when_it_is_told_to_though_slack_takes_nothing(
    tmp_path: Path, slack: LocalSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    await recorded(Story().until("director-down"), tmp_path)
    monkeypatch.setattr(bootstrap, "_SAID_AGAIN", timedelta(hours=1))
    stop = asyncio.Event()
    serving = asyncio.create_task(
        bootstrap._call_where_runs_are_open(read_settings(spoilt(tmp_path)), tokens(slack), "it is so", stop)
    )
    slack.channels.clear()
    await slack.until(lambda: slack.calls)
    stop.set()
    await asyncio.wait_for(serving, SECONDS)


async def test_where_no_run_is_under_way_it_ends_at_once_and_calls_nobody(tmp_path: Path, slack: LocalSlack) -> None:
    async with asyncio.timeout(SECONDS):
        with pytest.raises(Misconfigured):
            await bootstrap.serve(read_settings(spoilt(tmp_path)), tokens(slack))
    assert slack.calls == []
