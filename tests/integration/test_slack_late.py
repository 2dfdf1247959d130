"""What Slack takes long after it came: it has its date, and calls nobody to what is over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.slack.context import Fault
from bot.practice.slack.workspace import Message
from tests.build import THIRD, Story
from tests.integration.test_slack_damage import announcer
from tests.integration.test_slack_elsewhere import tell
from tests.integration.workspace import Place, place, slack
from tests.patience import SECONDS

__all__ = ["place", "slack"]

WEEKEND = timedelta(days=2)


@dataclass
class Weekend:
    """A run whose thread is up to date, with a Slack that takes no message from Saturday on."""

    place: Place
    story: Story
    thread: SlackAnnouncer = field(init=False)
    later: timedelta = timedelta(0)
    told: int = 0

    def __post_init__(self) -> None:
        self.thread = announcer(self.place, now=lambda: self.story.at + self.later)

    async def everything_is_told(self) -> None:
        tell(self.place, self.thread, self.story)
        await asyncio.wait_for(self.thread.until_posted(self.story.run.id, self.story.run.seq), SECONDS)

    def fails(self) -> None:
        self.told = len(self.place.slack.messages)
        self.place.slack.fault(Fault(method="chat.postMessage", what="status_500", times=None))

    async def is_tried(self) -> None:
        before = len(self.place.slack.calls)
        tell(self.place, self.thread, self.story)
        await self.place.slack.until(lambda: len(self.place.slack.calls) > before + 3)

    async def is_over(self) -> list[Message]:
        """It is Monday, and Slack takes all of it: these are the replies."""
        self.later = WEEKEND
        self.place.slack.clear_faults()
        await self.everything_is_told()
        return [one for one in self.place.slack.messages[self.told :] if one.thread_ts and not one.files]


@asynccontextmanager
async def a_weekend(place: Place, until: str) -> AsyncIterator[Weekend]:
    weekend = Weekend(place, Story().until(until))
    await weekend.everything_is_told()
    weekend.fails()
    yield weekend
    await weekend.thread.close()


def times_alone(messages: list[Message]) -> list[str]:
    """The times without a date, which Slack would date by Monday."""
    return re.findall(r"<!date\^\d+\^\{time_secs\}\|", str([one.blocks for one in messages]))


async def test_what_slack_takes_days_later_is_told_with_its_date(place: Place) -> None:
    """Also what was tried on Saturday already, and the question that is edited once it is answered."""
    async with a_weekend(place, "stop-lmtp") as weekend:
        weekend.story.tell(*weekend.story.well())
        weekend.story.fail("lmtp listens")
        await weekend.is_tried()
        late = await weekend.is_over()
        assert "lmtp listens" in str(late[-1].blocks)
        assert times_alone(late) == []
        assert all("Told late: it came at 2026-03-" in one.text for one in late)
        weekend.story.tell(fact.RetryChosen(by=THIRD))
        weekend.later = timedelta(0)
        await weekend.everything_is_told()
        (held,) = [one for one in place.slack.messages if one.ts == late[-1].ts]
        assert "*Retry*, said" in str(held.blocks)
        assert times_alone([held]) == []


def asks(story: Story) -> Callable[..., fact.ApprovalRepeated]:
    assert story.run.asked is not None
    asked = story.run.asked.fact
    assert isinstance(asked, fact.ApprovalAsked)
    return lambda times: fact.ApprovalRepeated(step=asked.step, gate=asked.gate, times=times, last=times == 2)


@pytest.mark.parametrize("tried", [True, False])
async def test_nobody_is_called_again_and_again_to_a_question_that_expired_while_slack_was_away(
    place: Place, tried: bool
) -> None:
    """Asked on Saturday, expired on Saturday: what counts on Monday is the hold below it."""
    async with a_weekend(place, "approve-flush") as weekend:
        story = weekend.story
        place.slack.clear_faults()
        story.until("approve-flush", on=Status.ASKING)
        await weekend.everything_is_told()
        weekend.fails()
        again = asks(story)
        story.tell(again(1), again(2))
        if tried:
            await weekend.is_tried()
        expired = again(2)
        story.tell(fact.ApprovalExpired(step=expired.step, gate=expired.gate))
        *reminders, hold = await weekend.is_over()
        assert len(reminders) == 2
        for one in reminders:
            assert not one.reply_broadcast
            assert "<!" not in one.text.replace("<!date", "") + str(one.blocks).replace("<!date", "")
            assert "buttons" not in str(one.blocks)
        assert hold.text.startswith("<@")
