"""Messages for Slack, within Slack's limits by construction: pure, no client, no I/O; knows nothing of runs.

What a host printed or a person typed is shown by `MessageBuilder.quote` and `MessageBuilder.code`; see markup.py.
Sizes: a section holds 3,000 characters, a message 50 blocks; all blocks together were measured to hold about 13,000
characters of JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.adapters.slack.messages.markup import (
    BLOCK,
    SECTION,
    SPAN,
    cut,
    inline,
    pieces,
    short,
    shortened,
    without_markup,
)
from bot.core.text.shown import in_line, set_in

Json = dict[str, Any]

TEXT = 3_000
"""Characters of a message's `text`: chat.update refuses more than 4,000."""

_BLOCKS = 44
_ROOM = 9_000
"""Characters of JSON for all text; what is left to 12,000 is kept for buttons and for how it ended."""

_FENCE = "\n```"

_BARE = "Shown as plain text: Slack did not take the full message."
_NO_BUTTONS = "Nor its buttons: ask for them with `repost` and the run's id."


@dataclass(frozen=True, kw_only=True)
class File:
    """A text file for people; its name is also how a repeat is recognised."""

    name: str
    content: str


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message: `text` is a full sentence for screen readers and notifications, `blocks` is what is seen."""

    text: str
    blocks: tuple[Json, ...]
    broadcast: bool = False
    files: tuple[File, ...] = ()


def mrkdwn(text: str) -> Json:
    """A text object; verbatim: Slack makes no links and mentions out of what only looks like one."""
    return {"type": "mrkdwn", "text": text[:3_000], "verbatim": True}


def plain(text: str, most: int) -> Json:
    """A plain text object."""
    return {"type": "plain_text", "text": short(text, most), "emoji": False}


def section(text: str) -> Json:
    """One paragraph, which no client may fold: what is long is long because people have to see it."""
    return {"type": "section", "text": mrkdwn(text), "expand": True}


def header(text: str) -> Json:
    """A heading."""
    return {"type": "header", "text": plain(text, 150)}


def context(*texts: str) -> Json:
    """Small print."""
    return {"type": "context", "elements": [mrkdwn(text) for text in texts[:10]]}


def button(label: str, action: str, value: str, *, style: str = "", confirm: Json | None = None) -> Json:
    """A button; `style` is primary or danger."""
    made: Json = {"type": "button", "text": plain(label, 75), "action_id": action, "value": value}
    return made | ({"style": style} if style else {}) | ({"confirm": confirm} if confirm else {})


def menu(action: str, options: Sequence[tuple[str, str]]) -> Json:
    """The menu behind three dots: labels, and the values that come back of them."""
    rows = [{"text": plain(label, 75), "value": value} for label, value in options]
    return {"type": "overflow", "action_id": action, "options": rows}


def dialog(title: str, text: str, yes: str, *, style: str = "primary") -> Json:
    """What is asked again after a click, as phones are clicked by pockets."""
    return {
        "title": plain(title, 100),
        "text": plain(text, 300),
        "confirm": plain(yes, 30),
        "deny": plain("Cancel", 30),
        "style": style,
    }


class MessageBuilder:
    """One message being written: it counts its room, and keeps what did not fit for a file."""

    def __init__(self, text: str) -> None:
        """`text`: the full sentence that stands for the message; made of safe parts."""
        self._text = text[:TEXT]
        self._blocks: list[Json] = []
        self._last: list[Json] = []
        self._room = _ROOM
        self._full: list[str] = []
        self._full_last: list[str] = []
        self._left_out = 0

    def head(self, text: str) -> None:
        """A heading."""
        self._add(header(text))
        self._full.append(text)

    def paragraph(self, text: str) -> None:
        """A paragraph of safe markup; what is longer than a section goes on in another one."""
        self._full.append(without_markup(text))
        for piece in pieces(text):
            self._add(section(piece))

    def ending(self, *texts: str) -> None:
        """The last paragraphs: they have their room before all that is written after this, and the last one first."""
        self._full_last += map(without_markup, texts)
        for piece in reversed([piece for text in texts for piece in pieces(text)]):
            if self._has_room(block := section(piece)):
                self._last.insert(0, block)

    def note(self, text: str) -> None:
        """Small print, of safe markup."""
        self._full.append(without_markup(text))
        for piece in pieces(text):
            self._add(context(piece))

    def quote(self, label: str, text: str) -> None:
        """What a host printed or a person typed, behind a label of the bot's own: in its line, or long in a block."""
        if len(cut(in_line(text), SPAN + 1)) > SPAN:
            self.code(label, text)
        else:
            self.paragraph(f"{label} {inline(text)}")

    def code(self, title: str, text: str, most: int = BLOCK) -> None:
        """Somebody's text in a code block that it cannot leave; shortened, all of it goes to the file."""
        if len(title) > SECTION - most - 200:
            self.paragraph(title)
            title = ""
        self._full.append(f"{without_markup(title)}\n{set_in(text)}")
        shown, left = shortened(text, most)
        self._left_out += left
        self._add(section(f"{title}\n```\n{shown}\n```" if title else f"```\n{shown}\n```"))

    @property
    def crowded(self) -> bool:
        """Whether it is time for another message, where one may be followed by another."""
        return self._room < _ROOM // 3 or len(self._blocks) > _BLOCKS * 2 // 3

    @property
    def fits(self) -> bool:
        """Whether all of it is in the message so far, and nothing was left out or cut."""
        return not self._left_out

    def _add(self, block: Json) -> None:
        if self._has_room(block):
            self._blocks.append(block)

    def _has_room(self, block: Json) -> bool:
        """Whether it fits; its room is taken then."""
        size = len(json.dumps(block))
        if size > self._room or len(self._blocks) + len(self._last) >= _BLOCKS:
            self._left_out += 1
            return False
        self._room -= size
        return True

    @property
    def whole(self) -> str:
        """All of it as plain text, for a file."""
        return "\n\n".join([*self._full, *self._full_last])

    def message(
        self, *, name: str = "", buttons: Sequence[Json] = (), broadcast: bool = False, files: Sequence[File] = ()
    ) -> Message:
        """The message; with a `name`, what was shortened comes along whole, in a file of that name."""
        blocks, more = list(self._blocks), list(files)
        if self._left_out:
            blocks.append(
                context(f"… (shortened; all of it is in the file {inline(name)})" if name else "… (shortened)")
            )
        blocks += self._last
        if self._left_out and name:
            more.append(File(name=name, content=self.whole))
        if buttons:
            blocks.append({"type": "actions", "elements": list(buttons)})
        return Message(text=self._text, blocks=tuple(blocks), broadcast=broadcast, files=tuple(more))


def without_buttons(message: Message, ended: str, text: str) -> Message:
    """The same message with how it ended in the place of its buttons."""
    rest = tuple(block for block in message.blocks if block["type"] != "actions")
    return Message(text=f"{text} {message.text}"[:TEXT], blocks=(*rest, section(ended)))


def marked(message: Message, remark: str) -> Message:
    """The same message with a remark of the bot's own on top."""
    blocks = (context(remark), *message.blocks) if message.blocks else ()
    return replace(message, text=f"{remark} {message.text}"[:TEXT], blocks=blocks)


def remarked_after(message: Message, remark: str) -> Message:
    """The same message with a remark behind the sentence that stands for it, which begins with whom it calls."""
    return replace(message, text=f"{message.text[: TEXT - len(remark) - 1]} {remark}")


def rewritten(message: Message, change: Callable[[str], str]) -> Message:
    """The same message with its markup changed; a text that grows too long for a block is divided."""
    blocks: list[Json] = []
    for block in message.blocks:
        make, texts = _texts_of(block)
        new = [change(text["text"]) if text["type"] == "mrkdwn" else text["text"] for text in texts]
        same = new == [text["text"] for text in texts]
        blocks += [block] if same else [make(piece) for text in new for piece in pieces(text)]
    return replace(message, blocks=tuple(blocks))


def _texts_of(block: Json) -> tuple[Callable[[str], Json], list[Json]]:
    """What makes such a block, and the texts of this one; a heading and buttons have no markup."""
    match block["type"]:
        case "section":
            return section, [block["text"]]
        case "context":
            return context, block["elements"]
        case _:
            return header, []


def bare(message: Message) -> Message:
    """The message as plain text, for when Slack refuses its blocks: nothing in it that could be refused."""
    shown = "\n".join(_text_of(block) for block in message.blocks)
    text = f"{message.text}\n{shown}"[: TEXT - len(_FENCE)]
    # A block of code that was cut off would not be one.
    return replace(message, text=text + _FENCE * (text.count("```") % 2), blocks=())


def plainer(message: Message) -> Message:
    """What is tried after Slack refused a message for what is in it; the last one cannot be refused for that."""
    if message.files:
        return replace(message, files=())
    actions = tuple(block for block in message.blocks if block["type"] == "actions")
    text = marked(bare(message), _BARE).text
    with_buttons = ({"type": "section", "text": plain(text, SECTION)}, *actions)
    if actions and [block["type"] for block in message.blocks] != ["section", "actions"]:
        return replace(message, text=text, blocks=with_buttons)
    if message.blocks:
        return marked(bare(message), f"{_BARE} {_NO_BUTTONS}" if actions else _BARE)
    return replace(message, text="A part of the record could not be shown here. It is in the journal.")


def _text_of(block: Mapping[str, Any]) -> str:
    texts = [block.get("text"), *block.get("elements", ())] if block.get("type") != "actions" else []
    return " · ".join(str(text.get("text", "")) for text in texts if isinstance(text, Mapping))
