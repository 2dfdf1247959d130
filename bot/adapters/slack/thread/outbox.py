"""Posts the messages of one run: each at least once, and a repeat is recognised wherever Slack lets itself be asked.

A row is written as *sending* before Slack hears of a message, and as *sent*, with its ts, after. Where it is not known
what became of one (a crash, a connection that dropped, a server error) Slack is searched for it first. It knows
nothing of facts: a message has a place (seq, part) and the mark of its fact, and that is all.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from slack_sdk.web.async_client import AsyncWebClient

from bot.adapters.slack.errors import ERRORS, DeliveryFailure, delivery_failure, in_words, name_of, of_its_own
from bot.adapters.slack.messages.blocks import File, Message, marked, plainer
from bot.adapters.slack.thread.edits import Edits
from bot.adapters.slack.thread.pace import Pace
from bot.adapters.slack.thread.search import Metadata, Place, RootGone, Search, metadata
from bot.engine.posts import Post, Posts
from bot.errors import SlackAway

ROOT: Place = (1, 0)

Anew = Callable[[], Awaitable[Message]]
"""What a message says by now: Slack may take it days after it was first tried."""

_CLOCKS_DIFFER = 86_400.0
"""Seconds that Slack's clock may be behind this one: a day, as the search is for the run's id and only so bounded."""

_UPLOADS = 3
"""How often an upload that fails is tried again before a message is tried in its place."""

_AS_IT_IS = 5
"""How often Slack may fail at a message, while it answers what else it is asked, before a plainer one is tried."""

_FILES_NEVER = frozenset({DeliveryFailure.CONTENT, DeliveryFailure.REFUSED})
"""What no other try of an upload will change."""

_REPEAT = "Possibly a repeat: Slack could not say whether this was posted before."

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Delivery:
    """One message to be posted: how it is sent (returns its ts), and how it is looked for."""

    place: Place
    channel: str
    message: Message
    send: Callable[[Message], Awaitable[str]]
    find: Callable[[], Awaitable[str | None]]
    anew: Anew | None = None


class Outbox:
    """Posts for one run; not for several tasks at a time.

    `failing`: why Slack did not take what was tried last, for people; empty when it did. `on_refused` is awaited each
    time Slack does not allow a message, before that is tried again. `mark_of`: Entry.mark of a fact, by its number.
    """

    def __init__(self, *, run: str, client: AsyncWebClient, posts: Posts, pace: Pace) -> None:
        self._run = run
        self._fields = {"run": run}
        self._client = client
        self._posts = posts
        self._pace = pace
        self._search = Search(client=client, pace=pace)
        self._edits = Edits(run=run, client=client, pace=pace)
        self._rows: dict[Place, Post] = {}
        self.failing = ""
        self.on_refused: Callable[[], Awaitable[None]] | None = None
        self.mark_of: Callable[[int], str] = lambda _seq: ""

    async def load(self) -> None:
        """Learn what was posted before."""
        self._rows = {(row.seq, row.part): row for row in await self._posts.of(self._run)}

    @property
    def root(self) -> Post | None:
        """The root message, once it is posted."""
        row = self._rows.get(ROOT)
        return row if row and row.ts else None

    @property
    def begun(self) -> bool:
        """Whether anything was posted, or may have been."""
        return bool(self._rows)

    def of(self, seq: int) -> tuple[Post, ...]:
        """What was posted for one fact."""
        return tuple(row for (of_seq, _), row in sorted(self._rows.items()) if of_seq == seq and row.ts)

    async def post_root(self, channel: str, message: Message, began: datetime, *, again: bool = False) -> None:
        """Post the root; `again`: in the place of one that is gone."""
        if again:
            self._rows[ROOT] = Post(run=self._run, seq=1, part=0, channel=channel, ts=None, state="sending")
        await self._deliver(
            _Delivery(
                place=ROOT,
                channel=channel,
                message=message,
                send=lambda message: self._post(ROOT, channel, None, message),
                find=lambda: self._search.root(channel, self._metadata(ROOT), began.timestamp() - _CLOCKS_DIFFER),
            )
        )

    async def reply(self, place: Place, message: Message, anew: Anew | None = None) -> None:
        """Post one reply into the thread, without its files; where it is tried again, `anew`. Raises RootGone."""
        channel, thread = self._thread()
        await self._deliver(
            _Delivery(
                place=place,
                channel=channel,
                message=replace(message, files=()),
                send=lambda message: self._post(place, channel, thread, message),
                find=lambda: self._search.reply(channel, thread, self._metadata(place)),
                anew=anew,
            )
        )

    async def share(self, place: Place, file: File) -> None:
        """Post a file into the thread; one that Slack will not take is posted in a reply instead. Raises RootGone."""
        channel, thread = self._thread()
        text = f"The file {file.name} could not be posted. What it holds is in the journal."

        async def send(message: Message) -> str:
            if not message.files:
                return await self._post(place, channel, thread, message)
            answer = await self._client.files_upload_v2(
                channel=channel, thread_ts=thread, filename=file.name, title=file.name, content=file.content or "-"
            )
            return str(answer["files"][0]["id"])

        async def find() -> str | None:
            found = await self._search.file(channel, thread, file.name)
            return found or await self._search.reply(channel, thread, self._metadata(place))

        message = Message(text=text, blocks=(), files=(file,))
        await self._deliver(_Delivery(place=place, channel=channel, message=message, send=send, find=find))

    async def edit(self, post: Post, message: Message) -> None:
        """Change a message, at once or by `edit_late`; a mark stays."""
        await self._edits.make(post, marked(message, _REPEAT) if post.state == "marked" else message)

    async def edit_late(self) -> float | None:
        """Make the edits again that failed and are due; returns in how many seconds others are, None for none."""
        return await self._edits.make_late()

    async def post_ephemeral(self, channel: str, user: str, message: Message, *, once: bool = False) -> bool:
        """Post to one person alone, tried until Slack has it; False when it does not want to, or, `once`, can.

        Nobody can look up what became of one: after a connection that dropped it may be posted twice.
        """
        failures = 0
        while True:
            try:
                await self._client.chat_postEphemeral(
                    channel=channel, user=user, text=message.text, blocks=list(message.blocks)
                )
            except ERRORS as error:
                failure = delivery_failure(error)
                _log.warning("not posted to %s: %s: %s", user, name_of(error), failure.value, extra=self._fields)
                if once or failure is DeliveryFailure.REFUSED:
                    return False
                message = plainer(message) if failure is DeliveryFailure.CONTENT else message
                await self._pace.rest(failures)
                failures += 1
            else:
                return True

    async def warn(self, root: Post, message: Message) -> bool:
        """Post what no fact stands for; once, and not again when it went wrong. Never raises."""
        try:
            await self._client.chat_postMessage(
                channel=root.channel,
                thread_ts=root.ts,
                reply_broadcast=message.broadcast or None,
                text=message.text,
                blocks=list(message.blocks),
            )
        except ERRORS as error:
            _log.warning("a warning was not posted: %s", name_of(error), extra=self._fields)
            return False
        return True

    def _thread(self) -> tuple[str, str]:
        root = self.root
        if root is None or root.ts is None:
            raise RootGone
        return root.channel, root.ts

    async def _deliver(self, delivery: _Delivery) -> None:
        row = self._rows.get(delivery.place)
        if row and row.ts:
            return
        seq, part = delivery.place
        begun = Post(run=self._run, seq=seq, part=part, channel=delivery.channel, ts=None, state="sending")
        if row is None:
            await self._posts.begin(self._run, *delivery.place, delivery.channel)
            # Remembered here too: where the row cannot be written as sent, the next try has to look for the message.
            self._rows[delivery.place] = begun
        ts, marked = await self._until_taken(delivery, doubt=row is not None)
        self.failing = ""
        await self._posts.sent(self._run, *delivery.place, ts, marked=marked)
        self._rows[delivery.place] = replace(begun, ts=ts, state="marked" if marked else "sent")

    async def _until_taken(self, delivery: _Delivery, *, doubt: bool) -> tuple[str, bool]:
        """Try until Slack has it; `doubt`: it may have it already. Returns its ts, and whether it is marked."""
        failures, uploads, failed_at, plainer_by, was_marked = 0, 0, 0, 0, False
        while True:
            answers = unsure = False
            if doubt:
                try:
                    if found := await delivery.find():
                        return found, was_marked
                    answers = True
                except SlackAway as away:
                    _log.warning("%s: message %s.%s may be posted twice", away, *delivery.place, extra=self._fields)
                    unsure = was_marked = True
            message = _made_plainer(await _by_now(delivery, failures), plainer_by)
            try:
                return await delivery.send(marked(message, _REPEAT) if unsure else message), unsure
            except ERRORS as error:
                failure = self._failure_of(error, delivery.place)
                failed_at = failed_at + 1 if answers and of_its_own(error) else 0
            doubt = failure is DeliveryFailure.UNKNOWN or (doubt and failure is DeliveryFailure.REFUSED)
            if message.files and (failure in _FILES_NEVER or uploads >= _UPLOADS):
                plainer_by += 1  # at once: where Slack is away, it takes this no more than the file
                continue
            uploads = uploads + 1 if message.files else 0
            plainer_by = _next(delivery.message, plainer_by, failure)
            if failed_at >= _AS_IT_IS:
                plainer_by, failed_at = plainer_by + 1, 0
            if failure is DeliveryFailure.REFUSED and self.on_refused:
                await self.on_refused()
            await self._pace.rest(failures)
            failures += 1

    def _failure_of(self, error: BaseException, place: Place) -> DeliveryFailure:
        """What went wrong; raises RootGone."""
        failure, self.failing = delivery_failure(error), in_words(error)
        _log.warning("message %s.%s: %s: %s", *place, name_of(error), failure.value, extra=self._fields)
        if failure is DeliveryFailure.NO_ROOT:
            raise RootGone from error
        return failure

    def _metadata(self, place: Place) -> Metadata:
        return metadata(self._run, place, "" if place == ROOT else self.mark_of(place[0]))

    async def _post(self, place: Place, channel: str, thread: str | None, message: Message) -> str:
        answer = await self._client.chat_postMessage(
            channel=channel,
            thread_ts=thread,
            reply_broadcast=message.broadcast or None,
            text=message.text,
            blocks=list(message.blocks) or None,
            metadata=self._metadata(place),
            unfurl_links=False,
            unfurl_media=False,
        )
        return str(answer["ts"])


def posted_at(post: Post) -> datetime:
    """How Slack dates a message that it has taken."""
    return datetime.fromtimestamp(float(post.ts or 0), UTC)


async def _by_now(delivery: _Delivery, failures: int) -> Message:
    """What is to be said, where it is tried again as it is by then."""
    if delivery.anew is None or not failures:
        return delivery.message
    return replace(await delivery.anew(), files=())


def _made_plainer(message: Message, times: int) -> Message:
    for _ in range(times):
        message = plainer(message)
    return message


def _next(whole: Message, times: int, failure: DeliveryFailure) -> int:
    """How often a message is made plainer for the try after this failure."""
    if failure is DeliveryFailure.CONTENT:
        return times + 1
    # A file is given up only where a message is taken in its place: a Slack that takes neither is waited for.
    return 0 if whole.files else times
