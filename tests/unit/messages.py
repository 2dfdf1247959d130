"""What the thread's tests share: all messages of a run, what is seen and clicked in one, and whether it fits Slack."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable
from functools import lru_cache

from slack_sdk.models.blocks import Block

from bot.adapters.slack.messages.blocks import Message
from bot.adapters.slack.messages.replies import answered, replies
from bot.adapters.slack.messages.root import root
from bot.core.runs.events import Entry
from bot.core.runs.fold import fold, follow
from bot.core.runs.run import Run
from bot.practice.slack.limits import problems
from tests.build import Story

GROUP = "<!subteam^S0MAIL>"


def all_messages(entries: Iterable[Entry], approvers: str = GROUP) -> list[tuple[Entry, Message]]:
    """Everything that a whole run says, the root after each fact and the questions' ends included."""
    said: list[tuple[Entry, Message]] = []
    run: Run | None = None
    asked: dict[int, tuple[Entry, Run | None, Run]] = {}
    for entry in entries:
        before, run = run, follow(run, entry)
        said += [(entry, message) for message in replies(entry, before, run, approvers=approvers)]
        said.append((entry, root(run)))
        asked |= {question.seq: (question, before, run) for question in run.open_questions if question is entry}
        still = {question.seq for question in run.open_questions}
        for gone in [question for question in (before.open_questions if before else ()) if question.seq not in still]:
            said.append((entry, answered(*asked[gone.seq], entry, approvers=approvers)))
    return said


def runs_after(entries: Iterable[Entry]) -> dict[int, Run]:
    """The state after each fact."""
    found: dict[int, Run] = {}
    for entry in entries:
        found[entry.seq] = follow(found.get(entry.seq - 1), entry)
    return found


def places(entries: Iterable[Entry]) -> list[tuple[int, int]]:
    """Where the replies of these facts stand, files apart: the fact, and the first of ten parts for each message."""
    found: list[tuple[int, int]] = []
    run: Run | None = None
    for entry in entries:
        before, run = run, follow(run, entry)
        found += [(entry.seq, 1 + 10 * at) for at, _ in enumerate(replies(entry, before, run, approvers=GROUP))]
    return found


def fits(message: Message) -> None:
    """What Slack would refuse; and that it can be posted and edited whatever happens to it."""
    blocks = list(message.blocks)
    assert problems(blocks) == []
    for block in blocks:
        is_valid(json.dumps(block))
    assert 0 < len(message.text) <= 4_000
    assert len(json.dumps(blocks)) <= 13_200
    assert not message.text.startswith(":"), "a screen reader would spell a sign"
    assert len({file.name for file in message.files}) == len(message.files)
    assert all(file.content for file in message.files)
    json.dumps(blocks, ensure_ascii=False).encode()


@lru_cache(maxsize=10_000)
def is_valid(block: str) -> None:
    """By Slack's own library. Most blocks of a thread stand in many of its messages."""
    (parsed,) = Block.parse_all([json.loads(block)])
    assert parsed is not None
    parsed.validate_json()


def seen(message: Message) -> str:
    return json.dumps(message.blocks, ensure_ascii=False)


def as_lines(message: Message) -> list[str]:
    """The lines of its blocks."""
    return [line for text in strings(list(message.blocks)) for line in text.split("\n")]


def as_read(markup: str) -> str:
    """As Slack shows it: its escapes as characters, a mention as a name, a time in the reader's zone."""
    dated = re.sub(r"<!date\^[^|]*\|([^>]*)>", r"\1", markup)
    parts = re.split(r"(```.*?```|`[^`\n]+`)", re.sub(r"<[@!](?:subteam\^)?([^>|]*)>", r"@\1", dated), flags=re.DOTALL)
    # Every second one is code, where a star is one.
    return html.unescape("".join(part if at % 2 else part.replace("*", "") for at, part in enumerate(parts)))


def buttons(message: Message) -> dict[str, dict[str, object]]:
    rows = [block["elements"] for block in message.blocks if block["type"] == "actions"]
    return {button["action_id"]: button for row in rows for button in row}


def strings(value: object) -> list[str]:
    """Every text in blocks."""
    if isinstance(value, dict):
        return [found for part in value.values() for found in strings(part)]
    if isinstance(value, list | tuple):
        return [found for part in value for found in strings(part)]
    return [value] if isinstance(value, str) else []


def markup(value: object) -> list[str]:
    """Every text in blocks that Slack reads as markup; a heading, a button or a dialog is plain."""
    if isinstance(value, dict):
        own = [str(value["text"])] if value.get("type") == "mrkdwn" else []
        return own + [found for part in value.values() for found in markup(part)]
    return [found for part in value for found in markup(part)] if isinstance(value, list | tuple) else []


def told(story: Story) -> tuple[Message, ...]:
    """What is said of the last fact."""
    before, after = fold(story.entries[:-1]), fold(story.entries)
    assert after is not None
    return replies(story.entries[-1], before, after, approvers=GROUP)


def last(story: Story) -> Message:
    """What is said of the last fact, of one that has one message."""
    (message,) = told(story)
    return message
