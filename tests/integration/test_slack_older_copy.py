"""An older copy of the journal was put back: the thread has messages of facts that the journal does not have."""

from __future__ import annotations

from dataclasses import replace

from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.practice.slack.context import Fault
from bot.practice.slack.server import LocalSlack
from bot.practice.slack.workspace import Message
from tests.build import SECOND, Story
from tests.fakes import FakeJournal
from tests.integration.test_slack_clicks import question
from tests.integration.workspace import FakePosts, Place, a_place, app_of, slack

__all__ = ["slack"]

ALARM = "backend-3 stops with 4,000 users mapped to it"


async def lost(slack: LocalSlack) -> tuple[Message, Story, FakePosts]:
    """The message of a question that was lost; the run as the copy has it, asking anew; what the copy says of posts."""
    story = Story().until("approve-flush", on=Status.ASKING)
    async with a_place(slack, FakeJournal(), FakePosts()) as before:
        await before.tell(story)
        old = question(before, "approve")
    number, asked = story.entries[-1].seq, story.entries[-1].fact
    assert isinstance(asked, fact.ApprovalAsked)
    rows = {key: row for key, row in before.posts.rows.items() if key[1] < number}
    again = Story().until("approve-flush").tell(replace(asked, digest="b" * 64, alarms=(ALARM,)))
    assert again.run.seq == number
    return old, again, FakePosts(rows=rows, cursors={story.run.id: number - 1})


async def test_a_button_of_what_the_journal_has_lost_does_not_answer_what_is_asked_in_its_place(
    slack: LocalSlack,
) -> None:
    """A click is for what its message shows; so is the view of all commands, and a form."""
    old, again, posts = await lost(slack)
    async with a_place(slack, FakeJournal(), posts) as place:
        app = app_of(place)
        await app.start()
        await slack.until(lambda: slack.sockets)
        await place.tell(again)
        new = await shows_the_alarm(place)
        assert ALARM not in str(old.blocks)
        await slack.click(SECOND, old, "approve")
        (told,) = await slack.until(lambda: slack.ephemerals)
        assert "an older copy of it was put back" in told.text
        for action in ("commands", "not_now"):
            slack.views.clear()
            await slack.click(SECOND, old, action)
            await slack.until(lambda: "an older copy of it was put back" in str([one.body for one in slack.views]))
        assert again.run.status is Status.ASKING
        await slack.click(SECOND, new, "approve")
        await slack.until(lambda: again.run.grants)
        await app.close()


async def test_a_message_of_what_the_journal_has_lost_is_not_taken_for_one_whose_answer_was_lost(
    slack: LocalSlack,
) -> None:
    """The question would be said to be posted, and nobody would see it."""
    _, again, posts = await lost(slack)
    async with a_place(slack, FakeJournal(), posts) as place:
        slack.fault(Fault(method="chat.postMessage", what="status_500"))
        await place.tell(again)
        await shows_the_alarm(place)


async def shows_the_alarm(place: Place) -> Message:
    new = question(place, "approve")
    assert ALARM in str(new.blocks)
    return new
