"""What Slack takes long after it came: it has its date, and calls nobody to what is over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.slack.context import Fault
from bot.practice.slack.workspace import Message
from tests.build import REQUESTER, THIRD, Story
from tests.integration.test_slack_damage import announcer, thread
from tests.integration.test_slack_elsewhere import FULL, tell, tried
from tests.integration.workspace import APPROVERS, Place, place, slack
from tests.patience import SECONDS

__all__ = ["place", "slack", "thread"]

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
        assert all("Posted late: it happened at 2026-03-" in one.text for one in late)
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


def first_told(messages: list[Message]) -> list[Message]:
    """As they were when people were notified of them, before they were edited."""
    return [replace(one, text=one.edits[0].text, blocks=one.edits[0].blocks) if one.edits else one for one in messages]


@pytest.mark.parametrize("tried", [True, False])
async def test_a_question_that_was_asked_and_expired_while_slack_was_away_calls_nobody(
    place: Place, tried: bool
) -> None:
    async with a_weekend(place, "approve-flush") as weekend:
        story = weekend.story.until("approve-flush", on=Status.ASKING)
        if tried:
            await weekend.is_tried()
        again = asks(story)(1)
        story.tell(fact.ApprovalExpired(step=again.step, gate=again.gate))
        late = first_told(await weekend.is_over())
        (asked,) = [one for one in late if "Approval needed" in one.text]
        assert asked.text.startswith("Over by now: Approval needed")
        assert not asked.reply_broadcast
        assert "actions" not in str(asked.blocks)
        assert APPROVERS.mention not in f"{[one.text for one in late]} {asked.blocks}"


async def test_a_hold_that_is_over_by_now_calls_nobody(place: Place) -> None:
    """It failed on Saturday, and somebody went back on Saturday, by `abort` as typed."""
    async with a_weekend(place, "stop-lmtp") as weekend:
        story = weekend.story
        story.tell(*story.well())
        story.fail("lmtp listens")
        await weekend.is_tried()
        story.tell(fact.GoBackAsked(by=THIRD, reason="abort was typed"))
        (hold,) = [one for one in first_told(await weekend.is_over()) if "holds" in one.text]
        assert hold.text.startswith("Over by now: Run ")
        assert f"<@{REQUESTER}>" not in f"{hold.text} {hold.blocks}"
        assert "lmtp listens" in str(hold.blocks)


async def test_a_question_that_is_closed_by_now_calls_nobody_as_its_thread_was_deleted(place: Place) -> None:
    """Deleted on Saturday with the question, which expired on Saturday too; Slack takes it on Monday."""
    async with a_weekend(place, "approve-flush") as weekend:
        place.slack.clear_faults()
        story = weekend.story.until("approve-flush", on=Status.ASKING)
        await weekend.everything_is_told()
        place.slack.messages.clear()
        weekend.fails()
        again = asks(story)(1)
        story.tell(again, fact.ApprovalExpired(step=again.step, gate=again.gate))
        await weekend.is_tried()
        weekend.told = 0
        late = first_told(await weekend.is_over())
        assert not [one.text for one in late if APPROVERS.mention in one.text]


async def test_a_warning_that_slack_takes_late_calls_nobody_once_the_run_goes_on(
    place: Place, thread: SlackAnnouncer
) -> None:
    """The thread is kept waiting by its search, and does not read that; the journal is asked."""
    story = Story().until("director-down")
    tell(place, thread, story)
    await asyncio.wait_for(thread.until_posted(story.run.id, story.run.seq), SECONDS)
    place.slack.fault(Fault(method="conversations.replies", what="hang", times=None))
    place.slack.fault(Fault(method="chat.postMessage", what="status_500", times=None))
    tell(place, thread, story.until("mask-dovecot"))
    await place.slack.until(lambda: place.slack.calls[-1].method == "conversations.replies")
    thread.warn(story.run.id, FULL)
    await tried(place)
    tell(place, thread, story.until("install-packages"))
    name = f"warning of {story.run.id}"
    await place.slack.until(lambda: name not in {task.get_name() for task in asyncio.all_tasks()})
    assert not [one for one in place.slack.messages if "disk is full" in one.text]
