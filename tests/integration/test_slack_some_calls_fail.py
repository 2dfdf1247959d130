"""Slack takes some calls of a thread and fails at others, for long: the record goes on, and nothing is lost."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from bot.adapters.slack.inbound import answers
from bot.adapters.slack.inbound.answers import Answers, Asker, Work
from bot.adapters.slack.messages.blocks import Message
from bot.adapters.slack.thread.edits import Edits
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.posts import Post
from bot.errors import Refused
from bot.practice.slack.context import Fault
from tests.build import SECOND, Story
from tests.integration.test_slack_clicks import asking, question
from tests.integration.workspace import CHANNEL, FAST, Place, app, begun, place, slack
from tests.patience import SECONDS

__all__ = ["app", "place", "slack"]

FAILS = ["error", "status_500", "refuse", "rate_limited"]
UPLOADS = ["files.getUploadURLExternal", "upload", "files.completeUploadExternal"]


# files


@pytest.mark.parametrize("what", FAILS)
async def test_a_question_that_was_answered_loses_its_buttons_though_files_cannot_be_uploaded(
    app: Place, what: Any
) -> None:
    """Posting works; files do not, for hours, or for good behind a proxy. The take-down waits for the thread."""
    await app.tell(Story().until("approve-flush"))
    app.slack.fault(Fault(method="files.getUploadURLExternal", what=what, retry_after=0, times=None))
    app.service.story.until("approve-flush", on=Status.ASKING)
    app.service.publish()
    asked = await app.slack.until(lambda: question(app, "approve"))
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: asked.edits)
    assert any("approval.txt could not be posted" in one.text for one in app.said)


@pytest.mark.parametrize("method", UPLOADS)
async def test_every_step_of_an_upload_may_fail_for_good(place: Place, method: str) -> None:
    place.slack.fault(Fault(method=method, what="error", times=None))
    await place.tell(begun())
    assert any("plan.txt could not be posted" in one.text for one in place.said)
    assert place.in_order()


async def test_a_file_whose_upload_was_done_and_not_answered_is_not_said_to_be_missing(place: Place) -> None:
    place.slack.fault(Fault(method="files.completeUploadExternal", what="drop_after_accept", times=None))
    await place.tell(begun())
    assert [file.name for file in place.slack.files] == ["r2025a-1-plan.txt"]
    assert not any("could not be posted" in one.text for one in place.said)


@pytest.mark.parametrize("error", ["internal_error", "not_in_channel"])
async def test_no_file_is_given_up_while_slack_takes_no_message_either(
    place: Place, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Away, or somebody removed the bot from the channel: the change record is a file, too."""
    upload, tried = place.client.files_upload_v2, 0

    async def goes_away(**given: Any) -> Any:
        nonlocal tried
        if not tried:
            place.slack.fault(Fault(method="*", what="error", error=error, times=None))
        tried += 1
        return await upload(**given)

    # Slack goes away in the middle of the SDK's upload, which is several calls: no fake of ours stands there.
    monkeypatch.setattr(place.client, "files_upload_v2", goes_away)
    place.service.story = begun()
    place.service.publish()
    await place.slack.until(lambda: tried > 8 and place.slack.calls[-1].method == "chat.postMessage")
    place.slack.clear_faults()
    await asyncio.wait_for(place.thread.until_posted(place.run, place.service.story.run.seq), SECONDS)
    assert [file.name for file in place.slack.files] == ["r2025a-1-plan.txt"]
    assert not any("could not be posted" in one.text for one in place.said)


# edits


@pytest.mark.parametrize("what", FAILS)
async def test_an_approval_is_said_though_messages_cannot_be_edited(app: Place, what: Any) -> None:
    """An edit only makes things look better; what is posted is the record. It is made once Slack takes it."""
    asked = await asking(app)
    app.slack.fault(Fault(method="chat.update", what=what, retry_after=0, times=None))
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: app.said[-1].text.startswith("Approved: "))
    assert "'approve'" in str(asked.blocks)
    app.slack.clear_faults()
    await app.slack.until(lambda: "*Approved*" in str(asked.blocks))
    assert "actions" not in str(asked.blocks)


async def test_an_edit_that_slack_limits_keeps_no_post_waiting(app: Place) -> None:
    """However long Slack says: what is posted is the record, and the run goes on behind it."""
    asked = await asking(app)
    app.slack.fault(Fault(method="chat.update", what="rate_limited", retry_after=3600, times=None))
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: app.said[-1].text.startswith("Approved: "))


async def test_an_edit_that_slack_limits_is_tried_again_once_slack_says_that_it_may_be(place: Place) -> None:
    edits = Edits(run=place.run, client=place.client, pace=FAST)
    place.slack.fault(Fault(method="chat.update", what="rate_limited", retry_after=3600, times=None))
    row = Post(run=place.run, seq=1, part=0, channel=CHANNEL, ts="1.1", state="sent")
    await edits.make(row, Message(text="Done", blocks=()))
    due = await edits.make_late()
    assert due is not None
    assert 0 < 3600 - due < SECONDS
    assert [call.method for call in place.slack.calls] == ["chat.update"]


@pytest.mark.parametrize("error", ["not_in_channel", "is_archived", "channel_not_found"])
async def test_a_question_that_was_over_while_the_bot_was_not_let_in_loses_its_buttons_once_it_is(
    app: Place, error: str
) -> None:
    """The hold below it says what counts, and is posted once somebody has invited the bot again."""
    asked = await asking(app)
    before = len(app.slack.calls)
    app.slack.fault(Fault(method="*", what="error", error=error, times=None))
    app.service.story.tell(fact.ApprovalExpired(step="approve-flush", gate=Gate.FLUSH))
    app.service.publish()
    await app.slack.until(lambda: any(call.method == "chat.postMessage" for call in app.slack.calls[before:]))
    app.slack.clear_faults()
    await app.slack.until(lambda: "Holds" in str(app.said[-1].blocks) and "actions" not in str(asked.blocks))


async def test_the_first_message_shows_the_end_though_it_could_not_be_edited_at_the_end(place: Place) -> None:
    await place.tell(Story().until("users-come-back"))
    place.slack.fault(Fault(method="chat.update", what="error", times=None))
    await place.tell(place.service.story.until(None, on=Status.ENDED))
    assert "Done" not in str(place.said[0].blocks)
    place.slack.clear_faults()
    await place.slack.until(lambda: "Done" in str(place.said[0].blocks))


async def test_an_edit_that_failed_does_not_come_after_a_newer_one(place: Place) -> None:
    await place.tell(Story().until("approve-flush", on=Status.ASKING))
    for _ in range(2):
        place.slack.fault(Fault(method="chat.update", what="error"))
    await place.tell(place.service.story.until("stop-lmtp"))
    await place.tell(place.service.story.until(None, on=Status.ENDED))
    await place.slack.until(lambda: "Done" in str(place.said[0].blocks))
    edits = sum(call.method == "chat.update" for call in place.slack.calls)
    await place.tell(place.service.story)
    assert edits == sum(call.method == "chat.update" for call in place.slack.calls)
    assert "Done" in str(place.said[0].blocks)


# a text that Slack does not take


async def test_a_question_whose_text_slack_does_not_take_has_its_buttons_all_the_same(app: Place) -> None:
    await app.tell(Story().until("approve-flush"))
    app.slack.fault(Fault(method="chat.postMessage", what="error", error="invalid_blocks"))
    await app.tell(app.service.story.until("approve-flush", on=Status.ASKING))
    assert "plain text" in app.said[-1].text
    assert "'approve'" in str(app.said[-1].blocks)


async def test_where_it_does_not_take_the_buttons_either_the_message_says_how_to_have_them(app: Place) -> None:
    await app.tell(Story().until("approve-flush"))
    app.slack.fault(Fault(method="chat.postMessage", what="error", error="invalid_blocks", times=2))
    await app.tell(app.service.story.until("approve-flush", on=Status.ASKING))
    assert "ask for them with `repost`" in app.said[-1].text


async def test_a_message_at_which_slack_fails_again_and_again_is_told_plainly_and_the_thread_goes_on(
    app: Place,
) -> None:
    """`internal_error` for what is in it, for ever: and a run waits for its thread before each stage."""
    await app.tell(Story().until("approve-flush"))
    app.slack.fault(Fault(method="chat.postMessage", what="error", times=6))
    await app.tell(app.service.story.until("approve-flush", on=Status.ASKING))
    assert "plain text" in app.said[-1].text
    assert "'approve'" in str(app.said[-1].blocks)


async def test_no_message_is_told_plainly_because_slack_is_away(app: Place) -> None:
    """It fails at the search for what may be posted already, too."""
    await app.tell(Story().until("approve-flush"))
    app.slack.fault(Fault(method="*", what="error", times=30))
    await app.tell(app.service.story.until("approve-flush", on=Status.ASKING))
    assert not any("plain text" in one.text for one in app.said)


# who clicked


@pytest.mark.parametrize("cut_off", [True, False])
async def test_who_clicked_is_told_as_the_bot_is_stopped_though_one_of_two_ways_to_them_hangs(
    place: Place, monkeypatch: pytest.MonkeyPatch, cut_off: bool
) -> None:
    """A click that was cut off, or does not count: its address hangs, and the channel takes answers."""
    monkeypatch.setattr(answers, "_FIRST_ANSWER_WITHIN", SECONDS)
    work, begins = Work(Answers(place.client, place.client.session)), asyncio.Event()
    place.slack.fault(Fault(method="response_url", what="hang", times=None))

    async def doing() -> None:
        begins.set()
        if cut_off:
            await asyncio.Event().wait()
        raise Refused("This does not count: you asked for the run.")

    url = f"http://{place.slack.address}/actions/{place.slack.team_id}/H1"
    work.begin(Asker(user=SECOND, channel=CHANNEL, response_url=url), doing)
    await begins.wait()
    await work.close(timedelta(0))
    (told,) = place.slack.ephemerals
    assert ("The bot was stopped" if cut_off else "This does not count") in told.text
