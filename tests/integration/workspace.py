"""A workspace of the local Slack with the adapter in it, and a service of one run that decides as the core does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest
from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.app import SlackApp, web_client
from bot.adapters.slack.people import Allowed, SlackPeople
from bot.adapters.slack.thread.announcer import SlackAnnouncer
from bot.adapters.slack.thread.pace import Pace
from bot.core.decisions.approval import Person
from bot.core.decisions.damage import Damaged, decide_release
from bot.core.decisions.decide import Steering, decide
from bot.core.plans.dryrun import DryRun
from bot.core.plans.procedure import Need
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.transitions import Status
from bot.engine.offering import Offer, Offered
from bot.engine.planning import Request
from bot.engine.posts import Post
from bot.engine.service import Service
from bot.engine.surveying import Survey
from bot.errors import Refused
from bot.practice.slack.api import APP_TOKEN, BOT_TOKEN
from bot.practice.slack.server import LocalSlack
from bot.practice.slack.workspace import Message
from bot.practice.values import machine_time
from bot.record.markdown import markdown
from tests.build import REQUESTER, SECOND, THIRD, Story, plan, target
from tests.fakes import FakeJournal
from tests.patience import SECONDS

CHANNEL = "C0OPS"
FAST = Pace(edits=timedelta(0), first=timedelta(milliseconds=5), most=timedelta(milliseconds=50))
APPROVERS = Allowed(usergroup="S0MAIL")


@dataclass
class FakePosts:
    """Rows and cursors in memory; they outlive an announcer as the database does. `facts` are the journal's."""

    rows: dict[tuple[str, int, int], Post] = field(default_factory=dict)
    cursors: dict[str, int] = field(default_factory=dict)
    facts: Mapping[str, Sequence[Entry]] = field(default_factory=dict)

    async def begin(self, run: str, seq: int, part: int, channel: str) -> None:
        row = Post(run=run, seq=seq, part=part, channel=channel, ts=None, state="sending")
        self.rows.setdefault((run, seq, part), row)

    async def sent(self, run: str, seq: int, part: int, ts: str, *, marked: bool = False) -> None:
        row = self.rows[run, seq, part]
        self.rows[run, seq, part] = replace(row, ts=ts, state="marked" if marked else "sent")

    async def of(self, run: str) -> tuple[Post, ...]:
        return tuple(row for row in self.rows.values() if row.run == run)

    async def cursor(self, run: str) -> int:
        return self.cursors.get(run, 0)

    async def advance(self, run: str, seq: int) -> None:
        self.cursors[run] = max(seq, self.cursors.get(run, 0))

    async def behind(self) -> tuple[str, ...]:
        lasts = {run: self.facts[run][-1] for run in self.cursors if self.facts.get(run)}
        ended = {run: last for run, last in lasts.items() if isinstance(last.fact, fact.RunEnded)}
        return tuple(run for run, last in ended.items() if self.cursors[run] < last.seq)


@dataclass
class FakeService(Service):
    """A service with one run, that decides as the core does and tells the thread."""

    journal: FakeJournal
    thread: SlackAnnouncer
    story: Story
    requests: list[Request] = field(default_factory=list)
    steered: list[Steering] = field(default_factory=list)
    fails: Exception | None = None
    requires: Sequence[str] = ()
    more: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Further rings that are offered, with their backends."""
    journal_answers: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.journal_answers.set()

    @property
    def commands(self) -> Mapping[str, str]:
        return {"/dovecot-upgrade": "Upgrades a backend"}

    @property
    def backends(self) -> Sequence[str]:
        return ("backend-1", "backend-2", "backend-3", *(name for names in self.more.values() for name in names))

    async def request(self, request: Request) -> str:
        self.requests.append(request)
        if self.fails:
            raise self.fails
        self.publish()
        return self.story.run.id

    async def offer(self, request: Request) -> Offer:
        del request
        names = {
            "main": ("backend-1", "backend-2", "backend-3"),
            "large": [f"b-{at}" for at in range(200)],
            **self.more,
        }
        rings = {
            ring: tuple(Offered(backend=name, state="up, vhosts 100, 6 users") for name in backends)
            for ring, backends in names.items()
        }
        takes = (Need.CONFIG, Need.PACKAGES)
        return Offer(rings=rings, configs=["review-2026-11"], takes=takes, requires=self.requires)

    async def brings(self, request: Request) -> tuple[str, ...]:
        if request.text != "backend-3":
            raise Refused(f"Nothing would change on {request.text}, so nothing was begun.")
        return ("dovecot-core and 2 more: deb12u6 → deb12u7", "review-2026-11: files changed 1 (dovecot.conf)")

    async def dry_run(self, request: Request) -> DryRun:
        self.requests.append(request)
        return DryRun(plan=plan(), target=target(), checks=(("The ring is whole", True, "as it should be"),))

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

    async def entries(self, run: str, after: int = 0) -> tuple[Entry, ...]:
        if run != self.story.run.id:
            raise Refused(f"There is no run {run}.")
        return tuple(self.story.entries)[after:]

    async def survey(self, *, open_only: bool = False, most: int | None = None) -> Survey:
        del most
        runs = () if open_only and self.story.run.status is Status.ENDED else (self.story.run,)
        return Survey(runs=runs, damaged=(), count=len(runs))

    async def release(self, run: str, person: Person, reason: str) -> Damaged:
        decide_release(run, None, person, reason, self.story.at)
        raise AssertionError

    def publish(self) -> None:
        """What the story tells is in the journal, and the thread hears of it."""
        self.journal.facts[self.story.run.id] = list(self.story.entries)
        self.thread.wake(self.story.run.id)


@dataclass
class Place:
    """A workspace with the bot in it."""

    slack: LocalSlack
    client: AsyncWebClient
    journal: FakeJournal
    posts: FakePosts
    thread: SlackAnnouncer
    people: SlackPeople
    service: FakeService

    @property
    def run(self) -> str:
        return self.service.story.run.id

    async def tell(self, story: Story) -> None:
        """Have it told, and wait until people can see it."""
        self.service.story = story
        self.service.publish()
        await asyncio.wait_for(self.thread.until_posted(story.run.id, story.run.seq), SECONDS)

    @property
    def said(self) -> list[Message]:
        """The thread, root first; files left out."""
        return [message for message in self.slack.messages if not message.files]

    def places(self) -> list[tuple[int, int]]:
        """Which facts the thread tells, in its order."""
        payloads = [message.metadata["event_payload"] for message in self.said if message.metadata]
        return [(payload["seq"], payload["part"]) for payload in payloads]

    def in_order(self) -> bool:
        """Whether it tells all of them in order, and each once."""
        return self.places() == sorted(set(self.places()))


def begun(story: Story | None = None) -> Story:
    """A run whose thread has just begun: it has looked, and begins its second stage."""
    second = plan().stages[1].name
    story = story or Story()
    while story.run.stage_begun != second:
        story.tell(*story.well())
    return story


def workspace(slack: LocalSlack) -> None:
    for user, name in ((REQUESTER, "alice"), (SECOND, "bob"), (THIRD, "carol"), ("U0DAVE", "dave")):
        slack.add_user(user, name=name)
    slack.add_channel(CHANNEL, name="mail-ops")
    slack.add_usergroup("S0MAIL", users=[REQUESTER, SECOND, THIRD])


@asynccontextmanager
async def a_place(slack: LocalSlack, journal: FakeJournal, posts: FakePosts) -> AsyncIterator[Place]:
    posts.facts = journal.facts
    async with web_client(token=BOT_TOKEN, api_url=slack.api_url) as client:
        thread = SlackAnnouncer(
            client=client,
            journal=journal,
            posts=posts,
            approvers=APPROVERS,
            record=markdown,
            now=machine_time,
            pace=FAST,
        )
        people = SlackPeople(client=client, requesters=APPROVERS, approvers=APPROVERS, channels=frozenset({CHANNEL}))
        service = FakeService(journal=journal, thread=thread, story=Story())
        try:
            yield Place(slack, client, journal, posts, thread, people, service)
        finally:
            await thread.close()


@pytest.fixture
async def slack() -> AsyncIterator[LocalSlack]:
    async with LocalSlack() as slack:
        workspace(slack)
        yield slack


@pytest.fixture
async def place(slack: LocalSlack) -> AsyncIterator[Place]:
    async with a_place(slack, FakeJournal(), FakePosts()) as place:
        yield place


def app_of(place: Place, *, silence: timedelta = timedelta(minutes=1)) -> SlackApp:
    """The bot's side of Slack in this workspace, not yet started."""
    return SlackApp(
        client=place.client,
        app_token=APP_TOKEN,
        service=place.service,
        people=place.people,
        threads=place.thread,
        silence=silence,
    )


@pytest.fixture
async def app(place: Place) -> AsyncIterator[Place]:
    """The bot listens."""
    app = app_of(place)
    await app.start()
    await place.slack.until(lambda: place.slack.sockets)
    yield place
    await app.close()
