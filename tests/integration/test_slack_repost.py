"""Whoever wants the buttons again gets them, or hears why not and what helps; so does whoever asks for the state."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

import pytest

from bot.adapters.slack.inbound.slash import Commands
from bot.adapters.slack.messages.blocks import Message
from bot.adapters.slack.people import SlackPeople
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.transitions import Status
from bot.engine.planning import Request
from bot.engine.surveying import Survey
from bot.errors import JournalError, Refused
from bot.practice.slack.context import Fault
from bot.practice.slack.server import LocalSlack
from tests.build import REQUESTER, SECOND, THIRD, Story
from tests.fakes import FakeJournal
from tests.integration.test_slack_clicks import asking, question
from tests.integration.test_slack_elsewhere import tell
from tests.integration.workspace import APPROVERS, CHANNEL, FakePosts, Place, a_place, app, begun, place, slack
from tests.patience import SECONDS
from tests.unit.stories import on_its_way_back

__all__ = ["app", "place", "slack"]


async def answered(app: Place, text: str, user: str = SECOND) -> str:
    """What whoever typed this is told."""
    seen = len(app.slack.ephemerals)
    await app.slack.command(user, CHANNEL, "/dovecot-upgrade", text)
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals[seen:])
    return f"{answer.text} {answer.blocks}"


# the first message was deleted


async def test_the_buttons_come_below_another_first_message_where_that_was_deleted(app: Place) -> None:
    await asking(app)
    app.slack.messages.clear()
    assert "Posted again at the end of the thread" in await answered(app, f"repost {app.run}")
    first, *replies = app.said
    assert "The first message of this thread was deleted" in first.text
    assert [reply.thread_ts for reply in replies] == [first.ts] * 2
    await app.slack.click(SECOND, question(app, "approve"), "approve")
    await app.slack.until(lambda: app.said[-1].text.startswith("Approved: "))
    assert app.said[-1].thread_ts == first.ts


async def test_buttons_that_are_wanted_twice_of_a_deleted_thread_have_one_first_message(app: Place) -> None:
    await asking(app)
    app.slack.messages.clear()
    for _ in range(2):
        await answered(app, f"repost {app.run}")
    assert len([one for one in app.said if one.thread_ts is None]) == 1
    assert len([one for one in app.said if "'approve'" in str(one.blocks)]) == 2


async def test_a_question_that_is_open_is_there_again_where_its_whole_thread_was_deleted(app: Place) -> None:
    """By hand, or by the workspace's retention: the reminder called the approvers to a thread without a button."""
    asked = (await asking(app)).ts
    app.slack.messages.clear()
    again = fact.ApprovalRepeated(step="approve-flush", gate=Gate.FLUSH, times=1, last=False)
    await app.tell(app.service.story.tell(again))
    first, buttons, reminder = app.said
    assert "The first message of this thread was deleted" in first.text
    assert "Posted again, because the thread that it stood in was deleted" in buttons.text
    assert buttons.ts != asked
    assert APPROVERS.mention in reminder.text
    await app.slack.click(SECOND, buttons, "approve")
    await app.slack.until(lambda: "*Approved*" in str(buttons.blocks) and "actions" not in str(buttons.blocks))


@dataclass
class CutOff(FakePosts):
    """A disk that is full as the first buttons are to be posted again, or a bot that ends there."""

    how: str = "full"
    came: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self, run: str, seq: int, part: int, channel: str) -> None:
        if part >= 1_000 and not self.came.is_set():
            self.came.set()
            if self.how == "full":
                raise JournalError("the journal cannot be used: disk is full")
            await asyncio.Event().wait()
        await super().begin(run, seq, part, channel)


@pytest.mark.parametrize("how", ["full", "ends"])
async def test_buttons_come_back_after_the_thread_was_deleted_also_where_that_is_cut_off(
    slack: LocalSlack, how: str
) -> None:
    """The other first message stands by then, so nothing says any more that the thread was deleted."""
    journal, posts = FakeJournal(), CutOff(how=how)
    story = Story().until("approve-flush", on=Status.ASKING)
    async with a_place(slack, journal, posts) as first:
        await first.tell(story)
        slack.messages.clear()
        tell(
            first,
            first.thread,
            story.tell(fact.ApprovalRepeated(step="approve-flush", gate=Gate.FLUSH, times=1, last=False)),
        )
        await asyncio.wait_for(posts.came.wait(), SECONDS)
        if how == "full":
            await asyncio.wait_for(first.thread.until_posted(story.run.id, story.run.seq), SECONDS)
    async with a_place(slack, journal, posts) as second:
        await second.thread.start([story.run.id])
        await asyncio.wait_for(second.thread.until_posted(story.run.id, story.run.seq), SECONDS)
    (buttons,) = [one for one in slack.messages if "'approve'" in str(one.blocks)]
    assert "Posted again, because the thread that it stood in was deleted" in buttons.text


# Slack takes nothing


@pytest.mark.parametrize(
    ("error", "helps"),
    [
        ("not_in_channel", "`/invite` the bot"),
        ("channel_not_found", "`/invite` the bot"),
        ("is_archived", "unarchived"),
        ("restricted_action", "it says `restricted_action`"),
    ],
)
async def test_who_asks_for_the_buttons_of_a_thread_that_slack_refuses_is_told_why(
    app: Place, error: str, helps: str
) -> None:
    """*Try again* does not help: somebody has to do something."""
    await app.tell(Story().until("approve-flush"))
    app.slack.fault(Fault(method="chat.postMessage", what="error", error=error, times=None))
    app.service.story.until("approve-flush", on=Status.ASKING)
    app.service.publish()
    await app.slack.until(lambda: app.thread.failing(app.run))
    told = await answered(app, f"repost {app.run}")
    assert error in told
    assert helps in told
    assert "try again" not in told
    listed = await answered(app, "status")
    assert error in listed
    assert helps in listed
    app.slack.clear_faults()
    assert await app.slack.until(lambda: question(app, "approve"))
    await app.slack.until(lambda: not app.thread.failing(app.run))
    assert error not in await answered(app, "status")


async def test_who_asks_for_the_buttons_gets_an_answer_where_slack_refuses_these(app: Place) -> None:
    """All was posted before; they were tried for ever, which kept the thread waiting, and nobody heard of it."""
    await asking(app)
    app.slack.fault(Fault(method="chat.postMessage", what="error", error="not_in_channel", times=None))
    told = await answered(app, f"repost {app.run}")
    assert "did not take the buttons" in told
    assert "not_in_channel" in told
    app.slack.clear_faults()
    await app.slack.click(SECOND, question(app, "approve"), "approve")
    await app.slack.until(lambda: app.said[-1].text.startswith("Approved: "))
    assert app.in_order()


async def test_buttons_that_slack_took_without_saying_so_are_there_once(app: Place) -> None:
    asked = await asking(app)
    app.slack.fault(Fault(method="chat.postMessage", what="drop_after_accept"))
    assert "Posted again" in await answered(app, f"repost {app.run}")
    again = [one for one in app.said if "'approve'" in str(one.blocks) and one is not asked]
    assert len(again) == 1


# what counts


async def test_on_the_way_back_the_buttons_of_the_first_message_come_again(app: Place) -> None:
    """Its *I take over by hand…* counts as long as the run is under way."""
    await app.tell(on_its_way_back("start-dovecot").until("approve-restore"))
    assert "Posted again" in await answered(app, f"repost {app.run}")
    again = app.said[-1]
    assert "'take_over'" in str(again.blocks)
    assert "'abort'" not in str(again.blocks)
    await app.slack.fill_in(THIRD, again, "take_over", "I do the rest")
    await app.slack.until(lambda: app.service.story.run.status is Status.TAKEN)
    await app.slack.until(lambda: "actions" not in str(again.blocks))


async def test_buttons_that_were_posted_again_go_with_those_of_the_first_message(app: Place) -> None:
    await app.tell(Story().until("drain", on=Status.WAITING))
    await answered(app, f"repost {app.run}")
    again = app.said[-1]
    assert [one["action_id"] for one in again.blocks[-1]["elements"]] == ["abort", "take_over"]
    await app.slack.fill_in(REQUESTER, again, "abort", "not tonight")
    await app.slack.until(lambda: "'abort'" not in str(again.blocks))
    assert "'take_over'" in str(again.blocks)
    assert "can be taken over by hand here" in str(again.blocks)
    await app.tell(app.service.story.tell(fact.TakenOver(by=THIRD, reason="I do the rest")))
    await app.slack.until(lambda: "can no longer be steered here" in str(again.blocks))
    assert "actions" not in str(again.blocks)


async def typed(place: Place, text: str, user: str = SECOND) -> Message | tuple[Message, ...]:
    """The answer to what was typed in the channel of the run, once the settings name another."""
    people = SlackPeople(client=place.client, requesters=APPROVERS, approvers=APPROVERS, channels=frozenset({"C0NEW"}))
    commands = Commands(service=place.service, people=people, threads=place.thread)
    request = Request(command="/dovecot-upgrade", text=text, requester=user, team="T0", channel=CHANNEL)
    return await commands.do(request, lambda _message: asyncio.sleep(0))


async def test_a_run_can_be_steered_in_its_own_channel_once_the_settings_name_another(place: Place) -> None:
    """Its thread, its questions and its buttons stay there; whoever types needs their rights as ever."""
    await place.tell(begun())
    for text in ("backend-3", "plan backend-3"):
        with pytest.raises(Refused, match="not one of the channels"):
            await typed(place, text)
    with pytest.raises(Refused, match="neither among those who may ask"):
        await typed(place, f"abort {place.run}", "U0DAVE")
    for text in ("status", "list", f"repost {place.run}", f"abort {place.run}"):
        await typed(place, text)
    assert place.service.story.run.back_asked_by == SECOND


async def test_there_no_run_of_another_channel_is_named_or_steered(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others read that channel by now; what was asked for in another, and why, is not for them."""
    await place.tell(begun())
    run = place.service.story.run
    other = replace(run, id="rother", request=replace(run.request, channel="C0SECRET", reason="leaked"))
    survey = Survey(runs=(run, other), damaged=(), count=2)
    monkeypatch.setattr(place.service, "survey", lambda **_: asyncio.sleep(0, survey))
    for text in ("status", "list"):
        answer = str(await typed(place, text))
        assert run.id in answer
        assert "rother" not in answer
    for text in ("abort rother", "repost rother", "abort", "abort backend-3"):
        with pytest.raises(Refused) as told:
            await typed(place, text)
        assert ("there is no open run rother of this channel" in str(told.value)) == ("rother" in text)
        assert "rother" in text or "rother" not in str(told.value)
    assert place.service.steered == []


async def test_a_guest_in_any_channel_reads_nothing_of_the_journal(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command can be typed in every channel; whoever may do nothing is told so before anything is looked at."""
    place.slack.add_user("U0GUEST", name="guest", is_restricted=True)
    asked = []

    async def unreadable(**_: object) -> Survey:
        asked.append(1)
        raise JournalError("the journal (sqlite:////srv/mail/journal.db) cannot be used: database is locked")

    monkeypatch.setattr(place.service, "survey", unreadable)
    with pytest.raises(Refused, match="not one of the channels"):
        await typed(place, "status", "U0GUEST")
    assert asked == []
    with pytest.raises(Refused, match="not one of the channels"):
        await typed(place, "status")
