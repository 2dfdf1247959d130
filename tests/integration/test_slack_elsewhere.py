"""Whoever is called in a thread that takes no message is called in the bot's other channels."""

from __future__ import annotations

import asyncio

import pytest

from bot.adapters.slack.messages.blocks import Message as Blocks
from bot.adapters.slack.messages.replies import replies
from bot.adapters.slack.thread import elsewhere as outside
from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.run import Run
from bot.core.runs.transitions import Status
from bot.practice.slack.context import Fault
from bot.practice.slack.workspace import Message
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.integration.test_slack_damage import HOME, announcer, said, thread
from tests.integration.workspace import APPROVERS, CHANNEL, Place, begun, place, slack
from tests.patience import SECONDS

__all__ = ["place", "slack", "thread"]


def tell(place: Place, thread: SlackAnnouncer, story: Story) -> None:
    place.journal.facts[story.run.id] = list(story.entries)
    thread.wake(story.run.id)


def archive(place: Place, *, archived: bool = True) -> None:
    """As a colleague would who moves the team to another channel, which is in the settings by now."""
    place.slack.add_channel(CHANNEL, name="mail-ops", is_archived=archived)


async def posted_and_archived(place: Place, thread: SlackAnnouncer, story: Story) -> Story:
    """The channel is archived once all of the run was posted there."""
    tell(place, thread, story)
    await asyncio.wait_for(thread.until_posted(story.run.id, story.run.seq), SECONDS)
    archive(place)
    return story


async def elsewhere(place: Place, count: int) -> list[Message]:
    async with asyncio.timeout(SECONDS):
        while len(there := await said(place, HOME)) < count:
            await asyncio.sleep(0.02)
    return list(there)


async def test_each_call_of_a_run_whose_channel_is_archived_is_posted_once_in_the_bots_other_channel(
    place: Place, thread: SlackAnnouncer
) -> None:
    """Users of a stopped dovecot wait; what calls nobody is not said there, and all comes in the thread later."""
    story = await posted_and_archived(place, thread, Story().until("director-down"))
    tell(place, thread, story.fail("director-1: users is 19, expected 0"))
    (call,) = await elsewhere(place, 1)
    for part in (f"<@{REQUESTER}>", "backend-3", "holds", "users is 19, expected 0"):
        assert part in call.text
    assert f"<#{CHANNEL}>: it says `is_archived`, so the channel of the thread has to be unarchived" in str(call.blocks)
    assert "actions" not in str(call.blocks)
    tell(place, thread, story.tell(fact.RetryChosen(by=REQUESTER)).until("director-down").fail("it is up"))
    *_, again = await elsewhere(place, 2)
    assert "it is up" in again.text
    archive(place, archived=False)
    await asyncio.wait_for(thread.until_posted(story.run.id, story.run.seq), SECONDS)
    assert len(await elsewhere(place, 2)) == 2
    assert "it is up" in str([message.blocks for message in await said(place, CHANNEL)][-1])


async def test_a_run_that_calls_nobody_is_said_nowhere_else(place: Place, thread: SlackAnnouncer) -> None:
    story = await posted_and_archived(place, thread, Story().until("director-down"))
    tell(place, thread, story.until("mask-dovecot"))
    tried = len(place.slack.calls)
    await place.slack.until(lambda: len(place.slack.calls) > tried + 2)
    assert all(message.channel == CHANNEL for message in place.slack.messages)


async def tried(place: Place) -> None:
    """Slack was asked a dozen times more."""
    before = len(place.slack.calls)
    await place.slack.until(lambda: len(place.slack.calls) > before + 12)


async def test_a_call_that_is_answered_before_any_channel_takes_it_is_not_posted(
    place: Place, thread: SlackAnnouncer
) -> None:
    """Nor is it after a restart: people would be called to what is over."""
    story = await posted_and_archived(place, thread, Story().until("director-down"))
    place.slack.add_channel(HOME, name="home", is_archived=True)
    for _ in range(2):
        tell(place, thread, story.fail("director-1: users is 19, expected 0"))
        await tried(place)
        tell(place, thread, story.tell(fact.RetryChosen(by=REQUESTER)).until("director-down"))
        await tried(place)
    place.slack.add_channel(HOME, name="home")
    await tried(place)
    await thread.close()
    again = announcer(place, home=[HOME])
    await again.start((story.run.id,))
    await tried(place)
    await again.close()
    assert all(message.channel == CHANNEL for message in place.slack.messages)


async def test_nobody_outside_reads_what_a_run_is_about(place: Place) -> None:
    """No run may be begun in a channel that is shared; what is said of one elsewhere goes to the next channel."""
    place.slack.add_channel("C0SHARED", name="shared", is_ext_shared=True)
    place.slack.add_channel(HOME, name="home")
    thread = announcer(place, home=["C0SHARED", HOME], may_post_in=place.people.may_post_in)
    story = await posted_and_archived(place, thread, Story().until("director-down"))
    tell(place, thread, story.fail("director-1: users is 19, expected 0"))
    await said(place, HOME)
    await thread.close()
    assert "C0SHARED" not in {message.channel for message in place.slack.messages}


async def a_run_that_ends_unseen(place: Place, thread: SlackAnnouncer) -> Story:
    story = Story().until("users-come-back").fail("director-1: state is down, expected up")
    story.tell(fact.SkipProposed(by=THIRD, step="users-come-back", reason="seen by hand"))
    await posted_and_archived(place, thread, story)
    tell(place, thread, story.tell(fact.SkipAgreed(by=SECOND, step="users-come-back")).until(None, on=Status.ENDED))
    return story


async def test_who_is_called_at_the_end_of_a_run_that_was_not_seen_back_is_called(
    place: Place, thread: SlackAnnouncer
) -> None:
    """Nobody looks at it after that."""
    await a_run_that_ends_unseen(place, thread)
    (call,) = await elsewhere(place, 1)
    assert "was not seen to be back" in call.text


async def test_the_end_of_a_run_not_seen_back_is_not_called_at_every_start(
    place: Place, thread: SlackAnnouncer
) -> None:
    story = await a_run_that_ends_unseen(place, thread)
    await elsewhere(place, 1)
    await thread.close()
    place.posts.facts = place.journal.facts
    for _ in range(2):
        again = announcer(place, home=[HOME])
        await again.start(())
        await tried(place)
        await again.close()
    assert place.journal.facts[story.run.id][-1] == story.entries[-1]
    assert len(await elsewhere(place, 1)) == 1


async def test_what_calls_people_elsewhere_is_not_a_question_that_was_answered(
    place: Place, thread: SlackAnnouncer
) -> None:
    """Too few others since before the question: that is what they are called for, not an approval that was given."""
    story = await posted_and_archived(place, thread, Story().until("approve-flush"))
    place.slack.add_channel(HOME, name="home", is_archived=True)
    low = fact.OthersCounted(usable=0, needed=1, reason="director-1: backend-1 is down with vhosts 100")
    story.tell(low).until("approve-flush", on=Status.ASKING)
    tell(place, thread, story.tell(*story.well()))
    await place.slack.until(lambda: any(call.status == "is_archived" for call in place.slack.calls))
    place.slack.add_channel(HOME, name="home")
    (call,) = await elsewhere(place, 1)
    assert "No other backend can be used" in call.text


# what stands in no journal

FULL = "This run cannot go on, and will try again: the journal cannot be used: disk is full."


async def warned(place: Place, thread: SlackAnnouncer, story: Story) -> Message:
    """What is said of it where all of the run was posted."""
    tell(place, thread, story)
    await asyncio.wait_for(thread.until_posted(story.run.id, story.run.seq), SECONDS)
    thread.warn(story.run.id, FULL)
    (said,) = await place.slack.until(lambda: [one for one in place.slack.messages if "cannot go on" in one.text])
    assert isinstance(said, Message)
    return said


async def test_a_warning_that_nothing_can_be_written_in_the_take_down_calls_everybody(
    place: Place, thread: SlackAnnouncer
) -> None:
    """Dovecot is stopped, and its users wait: a line that mentions nobody wakes nobody."""
    said = await warned(place, thread, Story().until("director-down"))
    assert said.text.startswith(f"<@{REQUESTER}> {APPROVERS.mention} ")
    assert "disk is full" in said.text
    assert "*State*" in str(said.blocks)
    assert said.thread_ts
    assert said.reply_broadcast


async def test_a_warning_where_a_run_stands_safely_calls_whoever_asked_for_it(
    place: Place, thread: SlackAnnouncer
) -> None:
    said = await warned(place, thread, begun())
    assert said.text.startswith(f"<@{REQUESTER}> ")
    assert APPROVERS.mention not in said.text
    assert not said.reply_broadcast


async def test_a_warning_that_the_thread_does_not_take_is_posted_in_the_bots_other_channel_once(
    place: Place, thread: SlackAnnouncer
) -> None:
    story = await posted_and_archived(place, thread, Story().until("director-down"))
    thread.warn(story.run.id, FULL)
    (call,) = await elsewhere(place, 1)
    assert call.text.startswith(f"<@{REQUESTER}> {APPROVERS.mention} ")
    assert "disk is full" in call.text
    thread.warn(story.run.id, FULL)
    thread.warn(story.run.id, "another")
    first, last = await elsewhere(place, 2)
    assert "disk is full" in first.text
    assert "another" in last.text


async def test_a_warning_that_was_posted_nowhere_is_posted_when_the_run_says_it_again(place: Place) -> None:
    """There is one channel, and it takes nothing: ten minutes of silence would begin with nothing said."""
    thread = announcer(place)
    story = await posted_and_archived(place, thread, Story().until("director-down"))
    thread.warn(story.run.id, FULL)
    await place.slack.until(lambda: place.slack.calls[-1].status == "is_archived")
    archive(place, archived=False)
    async with asyncio.timeout(SECONDS):
        while not any("disk is full" in one.text for one in place.slack.messages):
            thread.warn(story.run.id, FULL)
            await asyncio.sleep(0)
    await thread.close()


async def test_a_warning_is_said_in_the_thread_once_that_takes_it_though_the_other_channel_takes_nothing(
    place: Place, thread: SlackAnnouncer
) -> None:
    """The team has moved to a channel that the bot is not yet in; Slack failed once at the thread, which is fine."""
    place.slack.add_channel(HOME, name="home", is_archived=True)
    place.slack.fault(Fault(method="chat.postMessage", what="status_500", times=1))
    await warned(place, thread, Story().until("director-down"))


async def test_a_thread_that_takes_nothing_is_not_told_anew_from_its_beginning_at_every_try(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is tried each minute; that was a second of the loop for two days of setting back."""
    told: list[int] = []

    def counted(entry: Entry, before: Run | None, after: Run, *, approvers: str) -> tuple[Blocks, ...]:
        told.append(entry.seq)
        return replies(entry, before, after, approvers=approvers)

    monkeypatch.setattr(outside, "replies", counted)
    story = Story().until("install-packages")
    before = story.run
    story.fail("no space left on device")
    for _ in range(10):
        seen = "director-1: vhosts is 100, state is up, users is 1"
        story.tell(fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason=seen, given=("director-1",)))
        story.tell(fact.RingSetBack(step="set-vhosts-to-zero", holds=True, reason="director-1: vhosts is 0"))
    posted: list[Blocks] = []

    async def post(compose: outside.Compose) -> bool:
        posted.extend(filter(None, [compose()]))
        return True

    calls = outside.Calls(
        approvers="<!subteam^S0MAIL>",
        post=lambda _channel, tell: asyncio.ensure_future(post(tell)),
        untaken=lambda: outside.Untaken(
            run=story.run, before=before, entries=story.entries[before.seq :], failing="is_archived"
        ),
    )
    for _ in range(10):
        calls.make()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert sorted(told) == list(range(before.seq + 1, story.run.seq + 1)), "each once"
    (call,) = posted
    assert "no space left on device" in call.text
    story.tell(fact.RetryChosen(by=REQUESTER)).until("install-packages").fail("it is full again")
    calls.make()
    await asyncio.sleep(0)
    assert "it is full again" in posted[-1].text
