"""A run's thread on the local Slack: whatever Slack does when it fails, all is told once and in order."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.adapters.slack.thread.pace import Pace
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.posts import Post
from bot.practice.slack.context import Fault, What
from bot.practice.slack.server import LocalSlack
from bot.practice.values import machine_time
from bot.record.markdown import markdown
from tests.build import Story
from tests.fakes import FakeJournal
from tests.integration.workspace import APPROVERS, CHANNEL, FakePosts, Place, a_place, begun, place, slack
from tests.patience import SECONDS
from tests.unit.messages import places

__all__ = ["place", "slack"]


CHECKS = next(seq for seq, _ in places(begun().entries) if seq > 1)
"""The fact whose reply the checks of the first stage share."""


async def test_a_run_is_one_thread_in_order_and_its_end_is_in_the_root(place: Place) -> None:
    story = Story()
    for gate in ("approve-flush", "approve-restore"):
        await place.tell(story.until(gate, on=Status.ASKING))
    await place.tell(story.until(None, on=Status.ENDED))
    assert place.in_order()
    root, *replies = place.said
    assert all(reply.thread_ts == root.ts for reply in replies)
    assert "Done" in str(root.blocks)
    first, *questions, last = [file.name for file in place.slack.files]
    assert (first, last) == ("r2025a-1-plan.txt", "change-record-r2025a.md")
    assert all(name.endswith("-approval.txt") for name in questions)
    assert len(questions) == 2, "every command behind each of the two approvals"
    assert "flush approved by U0BOB" in place.slack.files[-1].text
    assert [reply.reply_broadcast for reply in replies].count(True) == 2, "the two approvals"
    assert not any("actions" in str(message.blocks) for message in place.said)


@pytest.mark.parametrize("what", ["drop_after_accept", "status_500", "refuse", "rate_limited"])
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update", "files.completeUploadExternal"])
async def test_what_goes_wrong_in_a_call_loses_nothing_and_repeats_nothing(
    place: Place, what: What, method: str
) -> None:
    for _ in range(3):
        place.slack.fault(Fault(method=method, what=what, retry_after=0))
    await place.tell(Story().until("ring-is-still-whole"))
    assert place.in_order()
    assert [file.name.rpartition("-")[2] for file in place.slack.files] == ["plan.txt", "approval.txt"]
    assert "Possibly a repeat" not in str([message.text for message in place.said])


async def test_slack_away_for_a_while_loses_nothing(place: Place) -> None:
    await place.tell(Story().until("set-vhosts-to-zero"))
    place.slack.away()
    story = place.service.story.until("drain", on=Status.WAITING)
    place.service.publish()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(place.thread.until_posted(place.run, story.run.seq), 0.2)
    place.slack.away(False)
    await asyncio.wait_for(place.thread.until_posted(place.run, story.run.seq), SECONDS)
    assert place.in_order()


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("seq", [1, CHECKS])
async def test_a_message_that_was_being_sent_when_the_bot_ended_is_there_once(
    slack: LocalSlack, taken: bool, seq: int
) -> None:
    """The row says *sending*; only Slack knows whether it arrived."""
    journal, posts = FakeJournal(), FakePosts()
    story = begun()
    async with a_place(slack, journal, posts) as first:
        await first.tell(story)
    part = 0 if seq == 1 else 1
    if not taken:
        slack.messages[:] = [m for m in slack.messages if not m.metadata or m.metadata["event_payload"]["seq"] < seq]
    posts.rows = {key: row for key, row in posts.rows.items() if key[1] < seq}
    posts.rows[story.run.id, seq, part] = Post(
        run=story.run.id, seq=seq, part=part, channel=CHANNEL, ts=None, state="sending"
    )
    posts.cursors[story.run.id] = seq - 1
    async with a_place(slack, journal, posts) as second:
        await second.thread.start([story.run.id])
        await asyncio.wait_for(second.thread.until_posted(story.run.id, seq), SECONDS)
        await asyncio.wait_for(second.thread.until_posted(story.run.id, story.run.seq), SECONDS)
        told = [place for place in second.places() if place == (seq, part)]
        assert told == [(seq, part)]


async def test_a_bot_killed_at_any_fact_goes_on_with_the_replies_that_it_would_have_posted(slack: LocalSlack) -> None:
    """Also between two checks that share one: what is told is made of the facts alone."""
    story = Story().until("approve-flush", on=Status.ASKING)
    for killed in range(begun().run.seq, story.run.seq):
        slack.messages.clear()
        slack.files.clear()
        journal, posts = FakeJournal(), FakePosts()
        for known in (killed, story.run.seq):
            journal.facts[story.run.id] = list(story.entries[:known])
            async with a_place(slack, journal, posts) as place:
                await place.thread.start([story.run.id])
                await asyncio.wait_for(place.thread.until_posted(story.run.id, known), SECONDS)
        assert place.places() == [(1, 0), *places(story.entries)]


async def test_a_first_message_is_recognised_though_this_machines_clock_is_ahead(place: Place) -> None:
    """By hours: after an answer that was lost, the channel had the run twice, and neither said so."""
    place.slack.fault(Fault(method="chat.postMessage", what="drop_after_accept"))
    await place.tell(begun(Story(at=datetime.now(UTC) + timedelta(hours=20))))
    (_,) = (one for one in place.slack.messages if not one.thread_ts)


async def test_where_slack_cannot_be_searched_a_message_says_that_it_may_be_a_repeat(place: Place) -> None:
    place.slack.fault(Fault(method="conversations.replies", what="error", error="missing_scope", times=None))
    await place.tell(begun())
    place.slack.fault(Fault(method="chat.postMessage", what="drop_after_accept"))
    story = place.service.story
    await place.tell(story.tell(*story.well()).tell(*story.well()))
    assert sum("Possibly a repeat" in message.text for message in place.said) == 1


async def test_a_question_that_may_be_a_repeat_says_so_still_when_it_is_answered(place: Place) -> None:
    place.slack.fault(Fault(method="conversations.replies", what="error", error="missing_scope", times=None))
    await place.tell(Story().until("approve-flush"))
    place.slack.fault(Fault(method="chat.postMessage", what="drop_after_accept"))
    story = place.service.story
    await place.tell(story.until("approve-flush", on=Status.ASKING))
    *_, second = (one for one in place.said if "Approval needed" in one.text)
    await place.tell(story.until("stop-lmtp"))
    assert "Possibly a repeat" in second.text
    assert "Possibly a repeat" in str(second.blocks)
    assert "'approve'" not in str(second.blocks)


async def test_a_message_that_slack_refuses_is_posted_as_plain_text(place: Place) -> None:
    """A mistake in a message must not keep all that follow from being told."""
    await place.tell(begun())
    place.slack.fault(Fault(method="chat.postMessage", what="error", error="invalid_blocks"))
    story = place.service.story
    await place.tell(story.tell(*story.well()).tell(*story.well()))
    assert "plain text" in place.said[-1].text
    assert "Download the new packages" in place.said[-1].text
    assert place.said[-1].blocks == []


async def test_a_file_that_slack_refuses_is_said_instead(place: Place) -> None:
    place.slack.fault(Fault(method="files.getUploadURLExternal", what="error", error="missing_scope", times=None))
    await place.tell(begun())
    assert any("r2025a-1-plan.txt could not be posted" in one.text for one in place.said)


async def test_a_root_that_somebody_deleted_is_posted_again_and_the_record_goes_on(place: Place) -> None:
    await place.tell(begun())
    place.slack.messages.clear()
    story = place.service.story
    await place.tell(story.until("set-vhosts-to-zero"))
    root, *replies = place.said
    assert root.thread_ts is None
    assert [reply.thread_ts for reply in replies] == [root.ts] * len(replies)
    assert replies


async def test_root_edits_are_apart_identical_ones_are_dropped_and_the_last_state_arrives(slack: LocalSlack) -> None:
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        slow = Pace(edits=timedelta(seconds=0.3), first=timedelta(milliseconds=5))
        thread = SlackAnnouncer(
            client=place.client,
            journal=place.journal,
            posts=place.posts,
            approvers=APPROVERS,
            record=markdown,
            now=machine_time,
            pace=slow,
        )
        place.thread = place.service.thread = thread
        story = Story().until("drain", on=Status.WAITING)
        await place.tell(story)
        for users in range(20, 0, -1):
            await place.tell(story.tell(fact.UsersCounted(users={"director-1": users})))
        await slack.until(lambda: "director-1: 1)" in str(slack.messages[0].blocks))
        edits = [call.at for call in slack.calls if call.method == "chat.update"]
        assert len(edits) < 10
        assert all(later - earlier > timedelta(seconds=0.25) for earlier, later in pairwise(edits))
        await place.tell(story.tell(fact.UsersCounted(users={"director-1": 1})))
        assert len([call for call in slack.calls if call.method == "chat.update"]) == len(edits)
        await thread.close()


async def test_the_roots_of_all_runs_share_one_budget_of_edits_and_the_last_of_each_comes(slack: LocalSlack) -> None:
    """Slack takes about fifty a minute, whatever they are for."""
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        eager = Pace(edits=timedelta(0), first=timedelta(milliseconds=5), together=6)
        thread = SlackAnnouncer(
            client=place.client,
            journal=place.journal,
            posts=place.posts,
            approvers=APPROVERS,
            record=markdown,
            now=machine_time,
            pace=eager,
        )
        place.thread = place.service.thread = thread
        stories = [Story().until("drain", on=Status.WAITING) for _ in range(2)]
        for number, story in enumerate(stories):
            story.entries[:] = [replace(entry, run=f"r{number}") for entry in story.entries]
            story.run = replace(story.run, id=f"r{number}")
        for users in range(20, 0, -1):
            for story in stories:
                await place.tell(story.tell(fact.UsersCounted(users={"director-1": users})))
        assert len([call for call in slack.calls if call.method == "chat.update"]) <= 6
        await place.tell(stories[0].until(None, on=Status.ENDED))
        assert "Done" in str(slack.messages[0].blocks)
        await thread.close()


async def test_the_last_words_of_a_run_that_ended_with_the_bot_are_said_at_its_next_start(slack: LocalSlack) -> None:
    journal, posts = FakeJournal(), FakePosts()
    story = Story().until("users-come-back")
    async with a_place(slack, journal, posts) as first:
        await first.tell(story)
    story.until(None, on=Status.ENDED)
    journal.facts[story.run.id] = list(story.entries)
    async with a_place(slack, journal, posts) as second:
        await second.thread.start([])
        await asyncio.wait_for(second.thread.until_posted(story.run.id, story.run.seq), SECONDS)
        assert second.in_order()
        assert "Done" in str(slack.messages[0].blocks)
        edits = len([call for call in slack.calls if call.method == "chat.update"])
    async with a_place(slack, journal, posts) as third:
        await third.thread.start([])
        await asyncio.wait_for(third.thread.until_posted(story.run.id, story.run.seq), SECONDS)
    assert len([call for call in slack.calls if call.method == "chat.update"]) == edits, "nothing is drawn anew"


async def test_the_end_of_a_run_that_was_open_for_weeks_is_told_by_a_bot_that_is_started_after_it(place: Place) -> None:
    """Its end came with Slack away, and twenty rings have had a run each since it began; none of these is told anew."""
    old = Story().until(None, on=Status.ENDED)
    place.journal.facts[old.run.id] = list(old.entries)
    place.posts.cursors[old.run.id] = 0
    for number in range(21):
        later = timedelta(hours=number + 1)
        newer = [replace(entry, run=f"r2026{number:02}", at=entry.at + later) for entry in old.entries]
        place.journal.facts[newer[0].run] = newer
        if number:  # of the first, an older version has not noted that it was told
            place.posts.cursors[newer[0].run] = newer[-1].seq
    await place.thread.start([])
    await place.slack.until(lambda: any("change-record" in one.name for one in place.slack.files), timeout=SECONDS)
    assert {message.metadata["event_payload"]["run"] for message in place.said if message.metadata} == {old.run.id}
