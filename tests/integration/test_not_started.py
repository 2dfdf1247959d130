"""A bot that cannot start while runs are under way: people are called, as nobody watches what is out."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from pydantic import SecretStr

from bot import bootstrap
from bot.adapters.journal import SqlJournal
from bot.adapters.single_instance import single_instance
from bot.adapters.slack.thread.elsewhere import unwatched
from bot.adapters.ssh import SshHosts
from bot.config import Tokens, read_settings
from bot.core.runs.transitions import Status
from bot.errors import InUse, Misconfigured
from bot.missing import mistake
from bot.practice.slack.api import APP_TOKEN, BOT_TOKEN
from bot.practice.slack.context import Fault
from bot.practice.slack.server import LocalSlack
from bot.unwatched import call_people
from tests.build import REQUESTER, Story
from tests.integration.workspace import CHANNEL, slack
from tests.patience import SECONDS
from tests.unit.test_config import GOOD, settings

__all__ = ["slack"]


def tokens(slack: LocalSlack) -> Tokens:
    return Tokens(bot_token=SecretStr(BOT_TOKEN), app_token=SecretStr(APP_TOKEN), api_url=slack.api_url)


TAKEN_NO_MORE = "xapp-revoked"


def spoilt(folder: Path) -> Path:
    """Settings whose SSH config is not there."""
    return settings(folder, GOOD.replace("[slack]", '[ssh]\nconfig = "nowhere"\n[slack]'))


async def recorded(story: Story, folder: Path) -> None:
    async with SqlJournal(f"sqlite:///{folder / 'journal.db'}") as journal:
        for entry in story.entries:
            await journal.append(story.run.id, entry.seq - 1, entry.at, (entry.fact,))


async def test_a_bot_that_cannot_start_names_the_runs_that_nobody_watches(
    tmp_path: Path, slack: LocalSlack, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, though what is wrong is looked at every few seconds: it ends as soon as that is another thing, or none."""
    story = Story().until("director-down").fail("director-1: users is 19, expected 0")
    await recorded(story, tmp_path)
    serving = asyncio.create_task(bootstrap.serve(spoilt(tmp_path), tokens(slack)))
    await slack.until(lambda: slack.messages)
    (tmp_path / "nowhere").touch()
    with pytest.raises(Misconfigured, match="nowhere: the settings name this SSH config"):
        await asyncio.wait_for(serving, SECONDS)
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


async def test_it_ends_when_it_is_told_to_though_slack_takes_nothing(tmp_path: Path, slack: LocalSlack) -> None:
    await recorded(Story().until("director-down"), tmp_path)
    stop, path = asyncio.Event(), spoilt(tmp_path)
    serving = asyncio.create_task(call_people(path, tokens(slack), mistake(path), stop))
    slack.channels.clear()
    await slack.until(lambda: slack.calls)
    stop.set()
    await asyncio.wait_for(serving, SECONDS)


async def test_an_app_level_token_that_slack_takes_no_more_calls_people_where_runs_are_open(
    tmp_path: Path, slack: LocalSlack
) -> None:
    """Revoked or rotated: nobody can click. No run is taken up, to be dropped in the same breath in each life."""
    story, path = Story().until("director-down", on=Status.BUSY), settings(tmp_path, GOOD)
    await recorded(story, tmp_path)
    refused = tokens(slack).model_copy(update={"app_token": SecretStr(TAKEN_NO_MORE)})
    serving = asyncio.create_task(bootstrap.serve(path, refused))
    (call,) = await slack.until(lambda: slack.messages)
    for part in ("The bot does not start", "app-level token: invalid", "SLACK_APP_TOKEN", "r2025a"):
        assert part in str(call.blocks)
    for none in ("dovecot-bot check", "by itself"):  # it asks nothing of Slack, and a token is nothing that comes back
        assert none not in str(call.blocks)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    async with SqlJournal(f"sqlite:///{tmp_path / 'journal.db'}") as journal:
        assert len(await journal.entries(story.run.id)) == len(story.entries)


async def test_people_are_called_as_long_as_slack_does_not_say_that_it_takes_the_token(
    tmp_path: Path, slack: LocalSlack
) -> None:
    await recorded(Story().until("director-down"), tmp_path)
    path, stop, why = settings(tmp_path, GOOD), asyncio.Event(), "Slack does not take the app-level token"
    slack.fault(Fault(method="apps.connections.open", what="status_500", times=None))
    serving = asyncio.create_task(call_people(path, tokens(slack), why, stop, in_slack=True))
    await slack.until(lambda: slack.messages and any(call.method == "apps.connections.open" for call in slack.calls))
    assert not serving.done()
    stop.set()
    await asyncio.wait_for(serving, SECONDS)
    slack.clear_faults()
    await asyncio.wait_for(call_people(path, tokens(slack), why, asyncio.Event(), in_slack=True), SECONDS)


@pytest.mark.parametrize("what", ["status_500", "rate_limited"])
async def test_settings_that_are_mended_while_slack_is_away_start_the_bot(
    tmp_path: Path, slack: LocalSlack, what: Literal["status_500", "rate_limited"]
) -> None:
    """Users of a stopped dovecot wait for the bot, and a bot that starts believes its tokens where Slack is away."""
    await recorded(Story().until("director-down"), tmp_path)
    path = spoilt(tmp_path)
    why = mistake(path)
    slack.fault(Fault(method="*", what=what, retry_after=3600, times=None))
    (tmp_path / "nowhere").touch()
    await asyncio.wait_for(call_people(path, tokens(slack), why, asyncio.Event()), SECONDS)


async def test_the_hosts_are_left_before_another_bot_may_take_the_journal(
    tmp_path: Path, slack: LocalSlack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second bot that starts at once would reach the same hosts beside the first one's connections."""
    left = []
    close = SshHosts.close

    async def closed(hosts: SshHosts) -> None:
        with pytest.raises(InUse), single_instance(tmp_path / "journal.db"):
            pass
        await close(hosts)
        left.append(hosts)

    monkeypatch.setattr(SshHosts, "close", closed)
    async with bootstrap.joined(read_settings(settings(tmp_path, GOOD)), tokens(slack)):
        pass
    assert left


async def test_a_lock_that_cannot_be_opened_calls_people_until_it_can(tmp_path: Path, slack: LocalSlack) -> None:
    """Somebody has started a bot by hand as another user, to whom the lock belongs since."""
    await recorded(Story().until("director-down"), tmp_path)
    (tmp_path / "journal.db.lock").mkdir()
    serving = asyncio.create_task(bootstrap.serve(settings(tmp_path, GOOD), tokens(slack)))
    (call,) = await slack.until(lambda: slack.messages)
    assert "journal.db.lock: cannot be opened" in str(call.blocks)
    (tmp_path / "journal.db.lock").rmdir()
    with pytest.raises(Misconfigured, match="cannot be opened"):
        await asyncio.wait_for(serving, SECONDS)


async def test_a_journal_that_cannot_be_read_calls_people_until_it_can(tmp_path: Path, slack: LocalSlack) -> None:
    """It may have been damaged, or put back for root alone: what is out, if anything is, is watched by nobody."""
    await recorded(Story().until("director-down"), tmp_path)
    path = tmp_path / "journal.db"
    sound = path.read_bytes()
    path.write_bytes(bytes(4096) + sound[4096:])
    serving = asyncio.create_task(bootstrap.serve(settings(tmp_path, GOOD), tokens(slack)))
    (call,) = await slack.until(lambda: slack.messages)
    assert call.channel == CHANNEL
    assert call.text.startswith("<@U0BOB> <@W0CAROL> The bot does not start, and cannot read its journal")
    assert "doveadm director status" in str(call.blocks)
    path.write_bytes(sound)
    with pytest.raises(Misconfigured, match="cannot be used as the journal"):
        await asyncio.wait_for(serving, SECONDS)
    assert len(slack.messages) == 1


async def test_beside_another_bot_nobody_is_called(tmp_path: Path, slack: LocalSlack) -> None:
    await recorded(Story().until("director-down"), tmp_path)
    with single_instance(tmp_path / "journal.db"), pytest.raises(Misconfigured, match="another bot"):
        await asyncio.wait_for(bootstrap.serve(settings(tmp_path, GOOD), tokens(slack)), SECONDS)
    assert slack.calls == []


async def test_where_no_run_is_under_way_it_ends_at_once_and_calls_nobody(tmp_path: Path, slack: LocalSlack) -> None:
    async with asyncio.timeout(SECONDS):
        with pytest.raises(Misconfigured):
            await bootstrap.serve(spoilt(tmp_path), tokens(slack))
    assert slack.calls == []


async def test_a_mistake_in_the_settings_themselves_calls_people_too(tmp_path: Path, slack: LocalSlack) -> None:
    """The likeliest one: somebody edits them while a backend is out. The bot ends once that is mended."""
    await recorded(Story().until("director-down"), tmp_path)
    path = settings(tmp_path, GOOD.replace("[slack]", '[slack]\nchanels = ["C0OPS"]'))
    serving = asyncio.create_task(call_people(path, tokens(slack), mistake(path), asyncio.Event()))
    call = (await slack.until(lambda: slack.messages))[0]
    assert "slack.chanels: there is no such key here" in str(call.blocks)
    path.write_text(GOOD)
    await asyncio.wait_for(serving, SECONDS)


async def test_what_cannot_be_read_so_far_calls_nobody_and_is_no_failure(tmp_path: Path, slack: LocalSlack) -> None:
    path = settings(tmp_path, GOOD.replace("[slack]", "[slack"))
    await asyncio.wait_for(call_people(path, tokens(slack), mistake(path), asyncio.Event()), SECONDS)
    assert slack.calls == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('channels = ["C0OPS"]', 'channels = ["C0OPS", "#ops"]'),
        ('users = ["U0BOB", "W0CAROL"]', 'users = ["U0BOB", "bob"]'),
        ("approvers =", "aprovers ="),
    ],
)
async def test_one_wrong_id_keeps_nobody_else_from_being_called(
    tmp_path: Path, slack: LocalSlack, old: str, new: str
) -> None:
    """The journal knows the channel of a run, and who asked for it."""
    await recorded(Story().until("director-down"), tmp_path)
    path, stop = settings(tmp_path, GOOD.replace(old, new)), asyncio.Event()
    serving = asyncio.create_task(call_people(path, tokens(slack), mistake(path), stop))
    (call,) = await slack.until(lambda: slack.messages)
    stop.set()
    await asyncio.wait_for(serving, SECONDS)
    assert f"<@{REQUESTER}>" in call.text


async def test_a_journal_that_cannot_be_looked_for_is_no_traceback(tmp_path: Path, slack: LocalSlack) -> None:
    path = settings(tmp_path, GOOD.replace("journal.db", "x" * 300).replace("drain", "drian"))
    with pytest.raises(Misconfigured, match="drian"):
        await bootstrap.serve(path, tokens(slack))


async def test_the_channel_of_a_run_hears_of_it_and_whoever_asked_is_called(tmp_path: Path, slack: LocalSlack) -> None:
    """Two teams, a channel each."""
    await recorded(Story().until("director-down"), tmp_path)
    slack.add_channel("C0HOME", name="home")
    path = settings(tmp_path, GOOD.replace('"C0OPS"', '"C0HOME", "C0OPS"').replace("drain", "drian"))
    stop = asyncio.Event()
    serving = asyncio.create_task(call_people(path, tokens(slack), mistake(path), stop))
    (call,) = await slack.until(lambda: slack.messages)
    stop.set()
    await asyncio.wait_for(serving, SECONDS)
    assert call.channel == CHANNEL
    assert f"<@{REQUESTER}>" in call.text


@pytest.mark.parametrize(
    ("story", "count"),
    [(Story().until("director-down").fail("x" * 1500), 20), (Story().until("drain", on=Status.WAITING), 100)],
)
def test_every_run_that_nobody_watches_is_named_with_why_and_what_to_do(story: Story, count: int) -> None:
    runs = [replace(story.run, id=f"r2{number:05d}") for number in range(count)]
    message = unwatched(runs, (), "the SSH config is not there", approvers="<!subteam^S0>")
    assert len(message.blocks) <= 50
    for part in ("What to do", "the SSH config is not there", *(run.id for run in runs)):
        assert part in str(message.blocks)
