"""The Slack adapter against the local Slack: what Slack does when it fails, and what people do when they click."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import pairwise

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.app import SlackApp, web_client
from bot.adapters.slack.people import KEPT_FOR, Allowed, SlackPeople
from bot.adapters.slack.posts import Pace, Row
from bot.adapters.slack.thread import Thread
from bot.core import events as fact
from bot.core.decide import AgreeToSkip, Approve, GoBack, ProposeSkip, Steering, decide
from bot.core.events import Entry
from bot.core.run import Run, Status
from bot.engine.planning import Foreseen, Request
from bot.errors import Misconfigured, Refused
from bot.practice.slack import Fault, LocalSlack, Message
from bot.record.markdown import markdown
from tests.build import REQUESTER, SECOND, THIRD, Story, plan
from tests.fakes import FakeJournal

CHANNEL = "C0OPS"
BOT_TOKEN, APP_TOKEN = "xoxb-practice", "xapp-practice"
FAST = Pace(edits=timedelta(0), first=timedelta(milliseconds=5), most=timedelta(milliseconds=50))
APPROVERS = Allowed(usergroup="S0MAIL")


@dataclass
class FakePosts:
    """Rows and cursors in memory; they outlive a Thread as the database does."""

    rows: dict[tuple[str, int, int], Row] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)

    async def begin(self, run: str, seq: int, part: int, channel: str) -> None:
        row = Row(run=run, seq=seq, part=part, channel=channel, ts=None, state="sending")
        self.rows.setdefault((run, seq, part), row)

    async def sent(self, run: str, seq: int, part: int, ts: str) -> None:
        row = self.rows[run, seq, part]
        self.rows[run, seq, part] = Row(run=run, seq=seq, part=part, channel=row.channel, ts=ts, state="sent")

    async def of(self, run: str) -> tuple[Row, ...]:
        return tuple(row for row in self.rows.values() if row.run == run)

    async def cursor(self, run: str) -> int:
        return self.cursors.get(run, 0)

    async def advance(self, run: str, seq: int) -> None:
        self.cursors[run] = max(seq, self.cursors.get(run, 0))


@dataclass
class FakeService:
    """A service with one run, that decides as the core does and tells the thread."""

    journal: FakeJournal
    thread: Thread
    story: Story
    commands: Mapping[str, str] = field(default_factory=lambda: {"/dovecot-upgrade": "Upgrades a backend"})
    requests: list[Request] = field(default_factory=list)
    steered: list[Steering] = field(default_factory=list)
    fails: Exception | None = None
    journal_answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.journal_answers.set()

    async def request(self, request: Request) -> str:
        self.requests.append(request)
        if self.fails:
            raise self.fails
        self.publish()
        return self.story.run.id

    async def foresee(self, request: Request) -> Foreseen:
        self.requests.append(request)
        return Foreseen(plan=plan(), checks=(("The ring is whole", True, "as it should be"),))

    async def steer(self, run: str, command: Steering) -> None:
        if run != self.story.run.id:
            raise Refused(f"There is no run {run}.")
        self.steered.append(command)
        await self.journal_answers.wait()
        facts = decide(self.story.run, command, self.story.at)
        self.story.tell(*facts)
        self.publish()
        for one in facts:
            if isinstance(one, fact.ApprovalRefused):
                raise Refused(f"This does not count: {one.reason}.")

    async def entries(self, run: str) -> tuple[Entry, ...]:
        if run != self.story.run.id:
            raise Refused(f"There is no run {run}.")
        return tuple(self.story.entries)

    async def runs(self, *, open_only: bool = False) -> tuple[Run, ...]:
        return () if open_only and self.story.run.status is Status.ENDED else (self.story.run,)

    def publish(self) -> None:
        """What the story tells is in the journal, and the thread hears of it."""
        self.journal.facts[self.story.run.id] = list(self.story.entries)
        self.thread.nudge(self.story.run.id)


@dataclass
class Place:
    """A workspace with the bot in it."""

    slack: LocalSlack
    client: AsyncWebClient
    journal: FakeJournal
    posts: FakePosts
    thread: Thread
    people: SlackPeople
    service: FakeService

    @property
    def run(self) -> str:
        return self.service.story.run.id

    async def tell(self, story: Story) -> None:
        """Have it told, and wait until people can see it."""
        self.service.story = story
        self.service.publish()
        await asyncio.wait_for(self.thread.shown(story.run.id, story.run.seq), 10)

    @property
    def said(self) -> list[Message]:
        """The thread, root first; files left out."""
        return [message for message in self.slack.messages if not message.files]

    def places(self) -> list[tuple[int, int]]:
        """Which facts the thread tells, in its order."""
        payloads = [message.metadata["event_payload"] for message in self.said if message.metadata]
        return [(payload["seq"], payload["part"]) for payload in payloads]


def workspace(slack: LocalSlack) -> None:
    for user, name in ((REQUESTER, "alice"), (SECOND, "bob"), (THIRD, "carol"), ("U0DAVE", "dave")):
        slack.add_user(user, name=name)
    slack.add_channel(CHANNEL, name="mail-ops")
    slack.add_usergroup("S0MAIL", handle="mail", users=[REQUESTER, SECOND, THIRD])


@asynccontextmanager
async def a_place(slack: LocalSlack, journal: FakeJournal, posts: FakePosts) -> AsyncIterator[Place]:
    async with web_client(token=BOT_TOKEN, api_url=slack.api_url) as client:
        thread = Thread(client=client, journal=journal, posts=posts, approvers=APPROVERS, record=markdown, pace=FAST)
        people = SlackPeople(client=client, requesters=APPROVERS, approvers=APPROVERS, channels=frozenset({CHANNEL}))
        service = FakeService(journal=journal, thread=thread, story=Story())
        try:
            yield Place(slack, client, journal, posts, thread, people, service)
        finally:
            await thread.close()


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack(bot_token=BOT_TOKEN, app_token=APP_TOKEN) as slack:
        workspace(slack)
        yield slack


@pytest.fixture
async def place(slack: LocalSlack) -> AsyncIterator[Place]:
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        yield place


@pytest.fixture
async def app(place: Place) -> AsyncIterator[Place]:
    """The bot listens."""
    app = SlackApp(
        client=place.client,
        app_token=APP_TOKEN,
        service=place.service,
        people=place.people,
        threads=place.thread,
    )
    await app.start()
    await place.slack.until(lambda: place.slack.sockets)
    yield place
    await app.close()


def in_order(place: Place) -> bool:
    return place.places() == sorted(set(place.places()))


# the thread


async def test_a_run_is_one_thread_in_order_and_its_end_is_in_the_root(place: Place) -> None:
    await place.tell(Story().until(None, on=Status.ENDED))
    assert in_order(place)
    root, *replies = place.said
    assert all(reply.thread_ts == root.ts for reply in replies)
    assert "Done" in str(root.blocks)
    assert [file.name for file in place.slack.files] == ["r2025a-1-plan.txt", "change-record-r2025a.md"]
    assert "flush approved by U0BOB" in place.slack.files[-1].text
    assert [reply.reply_broadcast for reply in replies].count(True) == 2, "the two approvals"
    assert not any("actions" in str(message.blocks) for message in place.said)


@pytest.mark.parametrize("what", ["drop_after_accept", "status_500", "refuse", "rate_limited"])
@pytest.mark.parametrize("method", ["chat.postMessage", "chat.update", "files.completeUploadExternal"])
async def test_what_goes_wrong_in_a_call_loses_nothing_and_repeats_nothing(
    place: Place, what: str, method: str
) -> None:
    for _ in range(3):
        place.slack.fault(Fault(method=method, what=what, retry_after=0))  # type: ignore[arg-type]
    await place.tell(Story().until("ring-is-still-whole"))
    assert in_order(place)
    assert len(place.slack.files) == 1
    assert "Possibly a repeat" not in str([message.text for message in place.said])


async def test_slack_away_for_a_while_loses_nothing(place: Place) -> None:
    await place.tell(Story().until("drain"))
    place.slack.away()
    story = place.service.story.until("drain", on=Status.WAITING)
    place.service.publish()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(place.thread.shown(place.run, story.run.seq), 0.2)
    place.slack.away(False)
    await asyncio.wait_for(place.thread.shown(place.run, story.run.seq), 10)
    assert in_order(place)


@pytest.mark.parametrize("taken", [True, False])
@pytest.mark.parametrize("seq", [1, 3])
async def test_a_message_that_was_being_sent_when_the_bot_ended_is_there_once(
    slack: LocalSlack, taken: bool, seq: int
) -> None:
    """The row says *sending*; only Slack knows whether it arrived."""
    journal, posts = FakeJournal(), FakePosts()
    story = Story().until("backend-is-well")
    async with a_place(slack, journal, posts) as first:
        await first.tell(story)
    part = 0 if seq == 1 else 1
    if not taken:
        slack.messages[:] = [m for m in slack.messages if not m.metadata or m.metadata["event_payload"]["seq"] < seq]
    posts.rows = {key: row for key, row in posts.rows.items() if key[1] < seq}
    posts.rows[story.run.id, seq, part] = Row(
        run=story.run.id, seq=seq, part=part, channel=CHANNEL, ts=None, state="sending"
    )
    posts.cursors[story.run.id] = seq - 1
    async with a_place(slack, journal, posts) as second:
        await second.thread.start([story.run.id])
        await asyncio.wait_for(second.thread.shown(story.run.id, seq), 10)
        await asyncio.wait_for(second.thread.shown(story.run.id, story.run.seq), 10)
        told = [place for place in second.places() if place == (seq, part)]
        assert told == [(seq, part)]


async def test_where_slack_cannot_be_searched_a_message_says_that_it_may_be_a_repeat(place: Place) -> None:
    place.slack.fault(Fault(method="conversations.replies", what="error", error="missing_scope", times=None))
    await place.tell(Story())
    place.slack.fault(Fault(method="chat.postMessage", what="drop_after_accept"))
    await place.tell(place.service.story.until("one-backend-at-a-time"))
    await place.tell(place.service.story.tell(*place.service.story.well()))
    assert sum("Possibly a repeat" in message.text for message in place.said) == 1


async def test_a_message_that_slack_refuses_is_posted_as_plain_text(place: Place) -> None:
    """A mistake in a message must not keep all that follow from being told."""
    await place.tell(Story())
    place.slack.fault(Fault(method="chat.postMessage", what="error", error="invalid_blocks"))
    story = place.service.story
    await place.tell(story.tell(*story.well()))
    assert "plain text" in place.said[-1].text
    assert "The ring is whole" in place.said[-1].text
    assert place.said[-1].blocks == []


async def test_a_file_that_slack_refuses_is_said_instead(place: Place) -> None:
    place.slack.fault(Fault(method="files.getUploadURLExternal", what="error", error="missing_scope", times=None))
    await place.tell(Story())
    assert "r2025a-1-plan.txt could not be posted" in place.said[-1].text


async def test_a_root_that_somebody_deleted_is_posted_again_and_the_record_goes_on(place: Place) -> None:
    await place.tell(Story())
    place.slack.messages.clear()
    story = place.service.story
    await place.tell(story.until("backend-is-well"))
    root, *replies = place.said
    assert root.thread_ts is None
    assert [reply.thread_ts for reply in replies] == [root.ts] * len(replies)
    assert replies


async def test_root_edits_are_apart_identical_ones_are_dropped_and_the_last_state_arrives(slack: LocalSlack) -> None:
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        slow = Pace(edits=timedelta(seconds=0.3), first=timedelta(milliseconds=5))
        thread = Thread(
            client=place.client,
            journal=place.journal,
            posts=place.posts,
            approvers=APPROVERS,
            record=markdown,
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


async def test_the_last_words_of_a_run_that_ended_with_the_bot_are_said_at_its_next_start(slack: LocalSlack) -> None:
    journal, posts = FakeJournal(), FakePosts()
    story = Story().until("users-come-back")
    async with a_place(slack, journal, posts) as first:
        await first.tell(story)
    story.until(None, on=Status.ENDED)
    journal.facts[story.run.id] = list(story.entries)
    async with a_place(slack, journal, posts) as second:
        await second.thread.start([])
        await asyncio.wait_for(second.thread.shown(story.run.id, story.run.seq), 10)
        assert in_order(second)
        assert "Done" in str(slack.messages[0].blocks)
        edits = len([call for call in slack.calls if call.method == "chat.update"])
    async with a_place(slack, journal, posts) as third:
        await third.thread.start([])
        await asyncio.wait_for(third.thread.shown(story.run.id, story.run.seq), 10)
    assert len([call for call in slack.calls if call.method == "chat.update"]) == edits, "nothing is drawn anew"


# commands


async def test_a_request_begins_a_run_and_tells_where_to_follow_it(app: Place) -> None:
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "backend-3 config=spring")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert f"Run {app.run} has begun" in answer.text
    assert "/archives/C0OPS/p" in str(answer.blocks)
    (request,) = app.service.requests
    assert (request.requester, request.channel, request.text) == (REQUESTER, CHANNEL, "backend-3 config=spring")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("", "begin a run"),
        ("help", "begin a run"),
        ("plan backend-3", "Nothing was changed"),
        ("plan", "Which backend"),
        ("status", "Open runs"),
        ("list", "All runs"),
        ("abort", "Which run"),
        ("abort <!channel>", "Which run"),
        ("abort nothing", "There is no run nothing"),
        ("repost nothing", "There is no run nothing"),
    ],
)
async def test_every_command_is_answered_to_its_sender_alone(app: Place, text: str, answer: str) -> None:
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", text)
    told = await app.slack.until(lambda: app.slack.ephemerals)
    assert answer in told[0].text + str(told[0].blocks)
    assert {one.user for one in told} == {REQUESTER}
    assert app.slack.messages == []


async def test_a_command_that_the_bot_does_not_know_is_answered_too(app: Place) -> None:
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-downgrade", "backend-3")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "does not know /dovecot-downgrade" in answer.text
    assert app.service.requests == []


async def test_whoever_may_not_is_told_why_and_nothing_happens(app: Place) -> None:
    app.slack.add_user("U0GUEST", name="guest", is_restricted=True)
    app.slack.add_channel("C0OTHER", name="random")
    for user, channel in (("U0DAVE", CHANNEL), ("U0GUEST", CHANNEL), (REQUESTER, "C0OTHER")):
        await app.slack.command(user, channel, "/dovecot-upgrade", "backend-3")
    told = await app.slack.until(lambda: len(app.slack.ephemerals) == 3 and app.slack.ephemerals)
    assert isinstance(told, list)
    said = {(one.user, one.channel): one.text for one in told}
    assert "not among those who may ask" in said["U0DAVE", CHANNEL]
    assert "guests" in said["U0GUEST", CHANNEL]
    assert "not one of the channels" in said[REQUESTER, "C0OTHER"]
    assert app.service.requests == []


async def test_an_answer_whose_response_url_fails_is_whispered_instead(app: Place) -> None:
    app.slack.fault(Fault(method="response_url", what="error", error="used_url"))
    app.slack.fault(Fault(method="response_url", what="status_500"))
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")
    await app.slack.until(lambda: any(one.via == "chat.postEphemeral" for one in app.slack.ephemerals))


async def test_an_error_of_the_bots_own_is_told_with_a_reference_that_is_in_the_log(
    app: Place, caplog: pytest.LogCaptureFixture
) -> None:
    app.service.fails = ZeroDivisionError("a defect")
    with caplog.at_level(logging.ERROR):
        await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "backend-3")
        (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    reference = next(record.args[0] for record in caplog.records if isinstance(record.args, tuple) and record.args)
    assert f"error {reference}" in answer.text
    assert "a defect" not in answer.text


async def test_what_somebody_typed_calls_nobody_in_the_answer(app: Place) -> None:
    app.service.fails = Refused("'<!channel>' is not the name of a backend; run r1 is <@U0BOB>'s.")
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "<!channel>")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "<!channel>" not in str(answer.blocks) + answer.text
    assert "<@U0BOB>" in str(answer.blocks)


async def test_an_envelope_that_comes_twice_acts_once(app: Place) -> None:
    app.slack.send_envelopes_twice = True
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "backend-3")
    await app.slack.until(lambda: app.slack.ephemerals)
    app.slack.send_envelopes_twice = False
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "plan backend-3")
    await app.slack.until(lambda: len(app.service.requests) >= 2)
    assert [request.text for request in app.service.requests] == ["backend-3", "backend-3"]
    assert len([one for one in app.slack.ephemerals if "has begun" in one.text]) == 1


async def test_the_bot_listens_again_after_slack_renewed_its_socket(app: Place) -> None:
    await app.slack.close_sockets()
    await app.slack.until(lambda: app.slack.sockets, timeout=15)
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")
    await app.slack.until(lambda: app.slack.ephemerals)


# clicks


def question(place: Place, action: str) -> Message:
    """The last message with such a button; LookupError while there is none, which `until` waits out."""
    return [message for message in place.said if f"'{action}'" in str(message.blocks)][-1]


async def asking(place: Place) -> Message:
    await place.tell(Story().until("approve-flush", on=Status.ASKING))
    return question(place, "approve")


async def test_a_second_engineers_click_approves_and_the_buttons_are_gone(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: asked.edits)
    assert "actions" not in str(asked.blocks)
    assert f"*Approved* by <@{SECOND}> (asked by <@{REQUESTER}>)" in str(asked.blocks)
    (command,) = app.service.steered
    assert isinstance(command, Approve)
    assert (command.person.id, command.message) == (SECOND, asked.ts)
    await app.slack.until(lambda: app.said[-1].text.startswith(f"Approved: flush backend-3, by <@{SECOND}>"))


@pytest.mark.parametrize("twice", [False, True])
async def test_a_click_is_acknowledged_once_it_is_on_the_record(app: Place, twice: bool) -> None:
    """Should the bot be killed before, Slack tells whoever clicked; a repeat of the envelope must not say otherwise."""
    asked = await asking(app)
    app.service.journal_answers.clear()
    app.slack.send_envelopes_twice = twice
    click = asyncio.create_task(app.slack.click(SECOND, asked, "approve"))
    await app.slack.until(lambda: app.service.steered)
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", "help")  # whatever comes after it is acknowledged
    assert not click.done()
    app.service.journal_answers.set()
    await click
    assert len(app.service.steered) == 1
    assert app.service.story.run.grants


async def test_a_click_whose_record_takes_long_is_acknowledged_all_the_same(app: Place) -> None:
    """Else Slack would say after 3 seconds that it came to nothing."""
    asked = await asking(app)
    app.service.journal_answers.clear()
    await app.slack.click(SECOND, asked, "approve")
    assert not app.service.story.run.grants
    app.service.journal_answers.set()
    await app.slack.until(lambda: app.service.story.run.grants)


async def test_the_requesters_own_click_does_not_count_and_is_on_the_record(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(REQUESTER, asked, "approve")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "whoever asked for a run cannot approve it" in answer.text
    await app.slack.until(lambda: "Did not count" in str(app.said[-1].blocks))
    assert app.service.story.run.status is Status.ASKING
    assert "actions" in str(asked.blocks)


async def test_a_late_click_is_told_who_was_first(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(SECOND, asked, "approve")
    await app.slack.until(lambda: asked.edits)
    await app.slack.click(THIRD, asked, "deny", stale=True)
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert f"<@{SECOND}> was first" in answer.text
    assert answer.user == THIRD


async def test_aborting_while_a_question_is_open_closes_the_question(app: Place) -> None:
    asked = await asking(app)
    await app.slack.click(THIRD, app.said[0], "abort")
    await app.slack.until(lambda: "asked to go back" in str(asked.blocks))
    assert isinstance(app.service.steered[0], GoBack)
    await app.slack.until(lambda: "abort" not in str(app.said[0].blocks))


async def held(place: Place) -> Message:
    await place.tell(Story().until("stop-dovecot").fail())
    return question(place, "retry")


async def test_a_held_run_is_retried_once_and_an_old_button_does_not_retry_a_later_hold(app: Place) -> None:
    first = await held(app)
    await app.slack.click(REQUESTER, first, "retry")
    await app.slack.until(lambda: "*Retry*, said" in str(first.blocks))
    await app.tell(app.service.story.fail())
    await app.slack.click(REQUESTER, first, "retry", stale=True)
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "older question" in answer.text
    assert [type(entry.fact) for entry in app.service.story.entries].count(fact.RetryChosen) == 1


async def test_a_skip_needs_a_reason_and_a_second_engineer(app: Place) -> None:
    first = await held(app)
    await app.slack.click(REQUESTER, first, "skip")
    view = (await app.slack.until(lambda: app.slack.views))[0]
    reply = await app.slack.submit(REQUESTER, view, {"reason": {"reason": "   "}})
    assert "needs a reason" in str(reply.errors)
    await app.slack.submit(REQUESTER, view, {"reason": {"reason": "stopped by hand <!channel>"}})
    proposal = await app.slack.until(lambda: question(app, "agree_skip"))
    assert "&lt;!channel&gt;" in str(proposal.blocks)
    await app.slack.click(REQUESTER, proposal, "agree_skip")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "a second engineer has to agree" in answer.text
    await app.slack.click(SECOND, proposal, "agree_skip")
    await app.slack.until(lambda: "*Skipped*" in str(proposal.blocks) and "*Skipped*" in str(first.blocks))
    assert [type(command) for command in app.service.steered] == [ProposeSkip, AgreeToSkip, AgreeToSkip]


async def test_reposted_buttons_work_and_vanish_with_the_question(app: Place) -> None:
    """Clicks were seen lost behind a stale socket; people need buttons that work."""
    asked = await asking(app)
    await app.slack.command(REQUESTER, CHANNEL, "/dovecot-upgrade", f"repost {app.run}")
    await app.slack.until(lambda: "Posted again at the end" in app.slack.ephemerals[-1].text)
    again = question(app, "approve")
    assert again.ts != asked.ts
    assert "Posted again" in str(again.blocks)
    await app.slack.click(SECOND, again, "approve")
    await app.slack.until(lambda: "*Approved*" in str(again.blocks) and "*Approved*" in str(asked.blocks))
    assert "actions" not in str(again.blocks) + str(asked.blocks)


@pytest.mark.parametrize("value", ["r2025a:1:2", "r2025a:-1", "", "x" * 200, "r2025a:abc", "../../x:1"])
async def test_a_button_that_this_bot_did_not_write_does_nothing(app: Place, value: str) -> None:
    asked = await asking(app)
    row = next(block for block in asked.blocks if block["type"] == "actions")
    row["elements"][0]["value"] = value
    await app.slack.click(SECOND, asked, "approve")
    (answer,) = await app.slack.until(lambda: app.slack.ephemerals)
    assert "nothing that the bot knows" in answer.text
    assert app.service.steered == []


# people


async def people_of(place: Place, user: str) -> tuple[bool, bool, str]:
    person = await place.people.person(user)
    return person.may_ask, person.may_approve, person.barred


async def test_who_somebody_is_comes_from_slack_and_the_group(place: Place) -> None:
    place.slack.add_user("U0GONE", name="gone", deleted=True)
    place.slack.add_user("U0ROBOT", name="robot", is_bot=True)
    place.slack.add_user("U0ELSE", name="else", is_stranger=True)
    place.slack.add_user("U0ONCE", name="once", is_ultra_restricted=True)
    assert await people_of(place, SECOND) == (True, True, "")
    assert await people_of(place, "U0DAVE") == (False, False, "")
    barred = {"U0GONE": "deactivated", "U0ROBOT": "bots", "U0ELSE": "other workspaces", "U0ONCE": "guests"}
    for user, why in {**barred, "bob": "no user id", "U0NOBODY": "user_not_found"}.items():
        may_ask, may_approve, reason = await people_of(place, user)
        assert not may_ask
        assert not may_approve
        assert why in reason


async def test_a_group_that_cannot_be_read_allows_nobody(place: Place) -> None:
    place.slack.fault(Fault(method="usergroups.users.list", what="status_500", times=None))
    may_ask, may_approve, barred = await people_of(place, SECOND)
    assert (may_ask, may_approve) == (False, False)
    assert "try again" in barred


async def test_a_right_that_was_taken_away_is_gone_after_a_minute(place: Place) -> None:
    at = [0.0]
    people = SlackPeople(
        client=place.client,
        requesters=Allowed(users=frozenset({REQUESTER})),
        approvers=APPROVERS,
        channels=frozenset({CHANNEL}),
        now=lambda: at[0],
    )
    assert (await people.person(SECOND)).may_approve
    place.slack.add_usergroup("S0MAIL", handle="mail", users=[REQUESTER])
    assert (await people.person(SECOND)).may_approve, "believed for a minute: Slack allows 20 questions a minute"
    at[0] = KEPT_FOR
    assert not (await people.person(SECOND)).may_approve


async def test_channels_that_others_can_read_are_refused(place: Place) -> None:
    assert await place.people.channel_allowed(CHANNEL) == ""
    assert "not one of" in await place.people.channel_allowed("C0RANDOM")
    place.slack.add_channel("C0SHARED", name="with-others", is_ext_shared=True)
    people = SlackPeople(
        client=place.client, requesters=APPROVERS, approvers=APPROVERS, channels=frozenset({"C0SHARED", "C0GONE"})
    )
    assert "shared" in await people.channel_allowed("C0SHARED")
    assert "channel_not_found" in await people.channel_allowed("C0GONE")


# signing in


@pytest.mark.parametrize(
    ("bot_token", "app_token", "what"),
    [
        ("", APP_TOKEN, "bot token is missing"),
        ("xoxp-secret", APP_TOKEN, "begin with xoxb-"),
        (BOT_TOKEN, "", "app-level token is missing"),
        (BOT_TOKEN, "xoxb-secret", "begin with xapp-"),
        ("xoxb-secret", APP_TOKEN, "bot token: invalid_auth"),
        (BOT_TOKEN, "xapp-secret", "app-level token: invalid_auth"),
    ],
)
async def test_tokens_that_cannot_be_used_are_said_at_the_start_and_never_shown(
    place: Place, bot_token: str, app_token: str, what: str
) -> None:
    async with AsyncExitStack() as stack:
        with pytest.raises(Misconfigured) as caught:
            client = await stack.enter_async_context(web_client(token=bot_token, api_url=place.slack.api_url))
            app = SlackApp(
                client=client, app_token=app_token, service=place.service, people=place.people, threads=place.thread
            )
            await app.start()
    assert what in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_socket_over_which_nothing_comes_though_slack_answers_is_given_up(slack: LocalSlack) -> None:
    """A socket can look connected and be dead; only being started anew helps then."""
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        app = SlackApp(
            client=place.client,
            app_token=APP_TOKEN,
            service=place.service,
            people=place.people,
            threads=place.thread,
            silence=timedelta(seconds=0.4),
        )
        await app.start()
        assert "though Slack answers" in await asyncio.wait_for(app.failed, 10)
        await app.close()


async def test_slack_being_away_is_no_reason_to_end_the_bot(slack: LocalSlack) -> None:
    """Runs that are under way must not be cut off because Slack has a bad night."""
    slack.away()
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        app = SlackApp(
            client=place.client,
            app_token=APP_TOKEN,
            service=place.service,
            people=place.people,
            threads=place.thread,
            silence=timedelta(seconds=0.2),
        )
        await app.start()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(app.failed), 1)
        await app.close()
