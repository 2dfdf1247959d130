"""A run that only looks has no thread: what wants saying is said to whoever asked, and only a change is news."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from bot.core.runs import events as fact
from bot.core.runs.fold import fold
from bot.core.runs.transitions import Status
from bot.engine.posts import Post
from bot.practice.slack.context import Fault, What
from bot.practice.slack.server import LocalSlack
from bot.practice.slack.workspace import Ephemeral
from tests.build import REQUESTER, SECOND, Story, plan
from tests.fakes import FakeJournal
from tests.integration.workspace import CHANNEL, FakePosts, Place, a_place, place, slack
from tests.patience import SECONDS
from tests.unit.stories import refused

__all__ = ["place", "slack"]


def looking(after: str = "backend-is-well") -> Story:
    """A run in its first stage, that of its procedure as it is now: it has checks only."""
    return Story().until(after)


async def heard(place: Place, text: str) -> Ephemeral:
    """Wait for something that whoever asked is told alone."""
    await place.slack.until(lambda: text in "".join(one.text for one in place.slack.ephemerals))
    (said,) = place.slack.ephemerals
    assert (said.user, said.channel, said.via) == (REQUESTER, CHANNEL, "chat.postEphemeral")
    return said


async def test_a_run_that_only_looks_is_not_in_the_channel_and_what_wants_saying_is_said_to_whoever_asked(
    place: Place,
) -> None:
    """A journal that cannot be written would keep its ring, and nobody would know."""
    place.service.story = looking()
    place.service.publish()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(place.thread.until_posted(place.run, 1), 0.2)
    place.thread.warn(place.run, "This run cannot go on: <!channel> the disk is full")
    said = await heard(place, "the disk is full")
    assert "<!channel>" not in str(said.blocks) + said.text
    assert place.slack.messages == []


async def test_a_run_that_holds_or_is_taken_over_where_it_only_looks_has_a_thread() -> None:
    """People are wanted there, and their buttons stand in a thread."""
    taken = fold(looking().tell(fact.TakenOver(by=SECOND, reason="I look into it")).entries)
    done_at_once = fold(Story(replace(plan(), stages=plan().stages[:1])).until(None, on=Status.ENDED).entries)
    assert taken is not None
    assert done_at_once is not None
    assert (taken.in_channel, done_at_once.in_channel) == (True, True)


async def test_a_first_stage_that_changes_something_is_in_the_channel_at_once(place: Place) -> None:
    """So it is with an older version's runs and a site's own procedures: the run waits there for its announcement."""
    first, second, *later = plan().stages
    both = replace(first, steps=(*first.steps, *second.steps))
    await place.tell(Story(replace(plan(), stages=(both, *later))))
    assert place.in_order()
    assert place.said


async def test_what_an_older_version_has_begun_to_tell_goes_on_in_its_thread(slack: LocalSlack) -> None:
    """It began the thread with the first fact."""
    journal, posts, story = FakeJournal(), FakePosts(), looking()
    journal.facts[story.run.id] = list(story.entries)
    row = Post(run=story.run.id, seq=1, part=0, channel=CHANNEL, ts=None, state="sending")
    posts.rows[story.run.id, 1, 0] = row
    async with a_place(slack, journal, posts) as place:
        await place.thread.start([story.run.id])
        await asyncio.wait_for(place.thread.until_posted(story.run.id, story.run.seq), SECONDS)
        assert place.in_order()
        assert place.said


@pytest.mark.parametrize("what", ["drop_after_accept", "status_500", "refuse", "rate_limited"])
async def test_a_refusal_is_told_until_slack_has_it_and_an_answer_that_may_be_a_repeat_is_better_than_none(
    place: Place, what: What
) -> None:
    place.slack.fault(Fault(method="chat.postEphemeral", what=what, retry_after=0))
    await place.tell(refused())
    said = {one.text for one in place.slack.ephemerals}
    assert said == {f"Run {place.run} on backend-3 is refused; nothing was changed anywhere."}
    assert "director-1: backend-2 vhosts is 0" in str(place.slack.ephemerals[0].blocks)
    assert place.slack.messages == []


async def test_whoever_has_left_the_channel_is_told_once_they_are_back_and_the_bot_is_started(
    slack: LocalSlack,
) -> None:
    journal, posts, story = FakeJournal(), FakePosts(), refused()
    journal.facts[story.run.id] = list(story.entries)
    slack.fault(Fault(method="chat.postEphemeral", what="error", error="user_not_in_channel"))
    async with a_place(slack, journal, posts) as first:
        first.thread.wake(story.run.id)
        await slack.until(lambda: [call for call in slack.calls if call.method == "chat.postEphemeral"])
    assert slack.ephemerals == []
    async with a_place(slack, journal, posts) as second:
        await second.thread.start([])
        await asyncio.wait_for(second.thread.until_posted(story.run.id, story.run.seq), SECONDS)
        await heard(second, "is refused")
    async with a_place(slack, journal, posts) as third:
        await third.thread.start([])
        await asyncio.wait_for(third.thread.until_posted(story.run.id, story.run.seq), SECONDS)
    assert len(slack.ephemerals) == 1
