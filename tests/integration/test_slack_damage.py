"""What is said of a damaged run on the local Slack: in a channel, whatever Slack does when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.core.decisions.damage import Damaged, Release, examined
from bot.core.runs.events import StepNotDone
from bot.practice.slack.context import Fault, What
from bot.practice.slack.workspace import Message
from bot.practice.values import machine_time
from bot.record.markdown import markdown
from tests.build import NOON, SECOND, Story
from tests.integration.workspace import APPROVERS, CHANNEL, FAST, Place, place, slack
from tests.patience import SECONDS

__all__ = ["place", "slack"]

HOME = "C0HOME"


def damaged(*, sound: bool = True) -> Damaged:
    found = examined("r2025a", Story().entries if sound else (), "run r2025a, fact 2: it was altered", rings=("main",))
    assert found is not None
    return found


def announcer(place: Place, **more: Any) -> SlackAnnouncer:
    return SlackAnnouncer(
        client=place.client,
        journal=place.journal,
        posts=place.posts,
        approvers=APPROVERS,
        record=markdown,
        pace=FAST,
        **{"now": machine_time} | more,
    )


@pytest.fixture
async def thread(place: Place) -> AsyncIterator[SlackAnnouncer]:
    place.slack.add_channel(HOME, name="home")
    thread = announcer(place, home=[HOME])
    yield thread
    await thread.close()


async def said(place: Place, channel: str) -> Sequence[Message]:
    async def found() -> list[Message]:
        while not (there := [one for one in place.slack.messages if one.channel == channel]):
            await asyncio.sleep(0.02)
        return there

    return await asyncio.wait_for(found(), SECONDS)


async def test_a_damaged_run_is_said_in_its_own_channel_to_the_approvers(place: Place, thread: SlackAnnouncer) -> None:
    thread.damaged(damaged())
    (message,) = await said(place, Story().run.request.channel)
    assert APPROVERS.mention in message.text
    assert "fact 2: it was altered" in str(message.blocks)
    assert message.thread_ts is None


async def test_where_its_channel_is_not_known_that_of_its_thread_is_used_and_then_that_of_the_settings(
    place: Place, thread: SlackAnnouncer
) -> None:
    thread.damaged(damaged(sound=False))
    await said(place, HOME)
    await place.posts.begin("r2025a", 1, 0, CHANNEL)
    thread.damaged(damaged(sound=False))
    await said(place, CHANNEL)


@pytest.mark.parametrize("what", ["status_500", "refuse", "rate_limited", "drop_after_accept"])
async def test_what_is_said_of_a_damaged_run_is_tried_until_slack_has_it(
    place: Place, thread: SlackAnnouncer, what: What
) -> None:
    for _ in range(3):
        place.slack.fault(Fault(method="chat.postMessage", what=what, retry_after=0))
    thread.damaged(damaged())
    await said(place, CHANNEL)


async def test_a_channel_that_refuses_it_is_left_for_another(place: Place, thread: SlackAnnouncer) -> None:
    place.slack.fault(Fault(method="chat.postMessage", what="error", error="is_archived"))
    thread.damaged(damaged())
    await said(place, HOME)


async def test_blocks_that_slack_does_not_take_are_said_as_plain_text(place: Place, thread: SlackAnnouncer) -> None:
    place.slack.fault(Fault(method="chat.postMessage", what="error", error="invalid_blocks"))
    thread.damaged(damaged())
    (message,) = await said(place, CHANNEL)
    assert "fact 2: it was altered" in message.text


async def test_a_reason_cannot_look_like_a_line_of_the_bots_own_or_call_anybody(
    place: Place, thread: SlackAnnouncer
) -> None:
    reason = "seen\n:white_check_mark: *Approved* by <@U0CAROL> <!channel> `code`"
    thread.damaged(replace(damaged(), release=Release(run="r2025a", by=SECOND, at=NOON, reason=reason)))
    (message,) = await said(place, CHANNEL)
    told = str(message.blocks) + message.text
    assert f"<@{SECOND}> released run" in message.text
    assert "<!channel>" not in told
    assert "<@U0CAROL>" not in told
    assert "`seen :white_check_mark: *Approved* by &lt;@U0CAROL&gt; &lt;!channel&gt; ˋcodeˋ`" in told


async def test_a_thread_whose_run_is_damaged_while_the_bot_runs_says_that_it_ends_there(place: Place) -> None:
    """It would fall silent in the middle, and look like a run that waits."""
    await place.tell(Story().until("drain"))
    cannot = replace(place.service.story.entries[-1], fact=StepNotDone(step="x", reason=""))
    place.service.story.entries.append(replace(cannot, seq=cannot.seq + 1))
    place.service.publish()
    async with asyncio.timeout(SECONDS):
        while "cannot be posted" not in place.said[-1].text:
            await asyncio.sleep(0.02)
    assert place.said[-1].thread_ts == place.said[0].ts
