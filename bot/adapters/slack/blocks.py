"""Messages for Slack, within Slack's limits by construction: pure, no client, no I/O; knows nothing of runs.

Whatever comes from a host or a person goes through `escape`, `inline` or `Sheet.code` before it stands in a message.
Sizes: a section holds 3,000 characters, a message 50 blocks; all blocks together were measured to hold about 13,000
characters of JSON.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Json = dict[str, Any]

SECTION = 2_900
"""Characters of one text: a little under Slack's 3,000."""

TEXT = 3_000
"""Characters of a message's `text`: chat.update refuses more than 4,000."""

_BLOCKS = 44
_ROOM = 9_000
"""Characters of JSON for all that is said; what is left to 12,000 is kept for buttons and for how it ended."""

_CODE = 1_500
_HEAD, _TAIL = 4, 10
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_LOUD = re.compile(r"@(?=(?:here|channel|everyone|group)\b)", re.IGNORECASE)
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_MENTION = re.compile(r"&lt;(@[UW][A-Z0-9]{2,20})&gt;")
_CHARACTERS = re.compile(r"&(?:amp|lt|gt);|.", re.DOTALL)
_TOKEN = re.compile(r" \(<!date\^[^>]*>\)")
_SIGN = re.compile(r"^:[a-z_]+: ")
_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")


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


def clean(text: str) -> str:
    """The text without what nobody sees: control characters, and marks that turn the direction of writing round."""
    return _UNSEEN.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))


def escape(text: str) -> str:
    """Somebody's text as Slack shows it literally: no mention, no link, no way out of a sentence."""
    safe = "".join(_ESCAPES.get(character, character) for character in clean(text))
    return _LOUD.sub("@\u200b", safe).replace("```", "'''")


def prose(text: str, people: Sequence[str] | None = ()) -> str:
    """A sentence of the bot's own that may hold somebody's text: `<@ID>` stays for these people, for all with None."""

    def allowed(found: re.Match[str]) -> str:
        return f"<{found[1]}>" if people is None or found[1][1:] in people else found[0]

    return _MENTION.sub(allowed, escape(text))


def inline(text: str, most: int = 600) -> str:
    """Somebody's text in a code span, in one line, shortened."""
    return f"`{cut(' '.join(clean(text).split()), most).replace('`', 'ˋ') or ' '}`"


def cut(text: str, most: int) -> str:
    """Somebody's text escaped, at most so long after that; what was cut away is shown as …"""
    safe = escape(text)
    if len(safe) <= most:
        return safe
    kept: list[str] = []
    room = most - 1
    for whole in _CHARACTERS.findall(safe):
        if len(whole) > room:
            break
        room -= len(whole)
        kept.append(whole)
    return "".join(kept) + "…"


def short(text: str, most: int) -> str:
    """Plain text (buttons, headers, dialogs: never read as markup) of at most so many characters."""
    line = " ".join(clean(text).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def mrkdwn(text: str) -> Json:
    """A text object; verbatim: Slack makes no links and mentions out of what only looks like one."""
    return {"type": "mrkdwn", "text": text[:3_000], "verbatim": True}


def plain(text: str, most: int) -> Json:
    """A plain text object."""
    return {"type": "plain_text", "text": short(text, most), "emoji": False}


def section(text: str) -> Json:
    """One paragraph."""
    return {"type": "section", "text": mrkdwn(text)}


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


def dialog(title: str, text: str, yes: str, *, style: str = "primary") -> Json:
    """What is asked again after a click, as phones are clicked by pockets."""
    return {
        "title": plain(title, 100),
        "text": plain(text, 300),
        "confirm": plain(yes, 30),
        "deny": plain("Cancel", 30),
        "style": style,
    }


def shortened(text: str, most: int = _CODE) -> tuple[str, int]:
    """Text for a code block, escaped, first and last lines kept; and how many lines are left out or cut."""
    lines = clean(text).strip("\n").split("\n")
    kept, left = lines, 0
    if len(lines) > _HEAD + _TAIL + 1:
        left = len(lines) - _HEAD - _TAIL
        kept = lines[:_HEAD] + lines[-_TAIL:]
    room = most // len(kept)
    shown = [cut(line, max(room, 40)) if len("\n".join(map(escape, kept))) > most else escape(line) for line in kept]
    left += sum(1 for line, said in zip(kept, shown, strict=True) if said != escape(line))
    if len(lines) > len(kept):
        shown.insert(_HEAD, f"… ({len(lines) - len(kept)} more lines, in the file)")
    return "\n".join(shown), left


class Sheet:
    """One message being written: it counts its room, and keeps what did not fit for a file."""

    def __init__(self, text: str) -> None:
        """`text`: the full sentence that stands for the message; made of safe parts."""
        self._text = text[:TEXT]
        self._blocks: list[Json] = []
        self._room = _ROOM
        self._full: list[str] = []
        self._left_out = 0

    def head(self, text: str) -> None:
        """A heading."""
        self._add(header(text))
        self._full.append(text)

    def say(self, text: str) -> None:
        """A paragraph of safe markup; what is longer than a section goes on in another one."""
        self._full.append(as_text(text))
        for piece in pieces(text):
            self._add(section(piece))

    def note(self, text: str) -> None:
        """Small print, of safe markup."""
        self._full.append(as_text(text))
        for piece in pieces(text):
            self._add(context(piece))

    def code(self, title: str, text: str, most: int = _CODE) -> None:
        """Somebody's text in a code block that it cannot leave; shortened, all of it goes to the file."""
        if len(title) > SECTION - most - 200:
            self.say(title)
            title = ""
        self._full.append(f"{as_text(title)}\n{clean(text)}")
        shown, left = shortened(text, most)
        self._left_out += left
        self._add(section(f"{title}\n```\n{shown}\n```" if title else f"```\n{shown}\n```"))

    @property
    def crowded(self) -> bool:
        """Whether it is time for another message, where one may be followed by another."""
        return self._room < _ROOM // 3 or len(self._blocks) > _BLOCKS * 2 // 3

    def _add(self, block: Json) -> None:
        size = len(json.dumps(block))
        if size > self._room or len(self._blocks) >= _BLOCKS:
            self._left_out += 1
            return
        self._room -= size
        self._blocks.append(block)

    def message(
        self, *, name: str = "", buttons: Sequence[Json] = (), broadcast: bool = False, files: Sequence[File] = ()
    ) -> Message:
        """The message; with a `name`, what was shortened comes along whole, in a file of that name."""
        blocks, more = list(self._blocks), list(files)
        if self._left_out:
            blocks.append(
                context(f"… (shortened; all of it is in the file {inline(name)})" if name else "… (shortened)")
            )
        if self._left_out and name:
            more.append(File(name=name, content="\n\n".join(self._full)))
        if buttons:
            blocks.append({"type": "actions", "elements": list(buttons)})
        return Message(text=self._text, blocks=tuple(blocks), broadcast=broadcast, files=tuple(more))


def pieces(text: str) -> list[str]:
    """Text in pieces that fit a section each, cut between lines or words where there are any."""
    found: list[str] = []
    while len(text) > SECTION:
        at = max(text.rfind("\n", 0, SECTION), text.rfind(" ", 0, SECTION))
        if at <= 0:
            # Not inside of an escape such as &amp;
            at = max(text.rfind("&", SECTION - 6, SECTION), 0) or SECTION
        found.append(text[:at])
        text = text[at:].lstrip("\n ")
    return [*found, text] if text else found


def as_text(markup: str) -> str:
    """Safe markup as plain text, for a file."""
    return clean(html.unescape(_DATE.sub(r"\1", markup)))


def without_buttons(message: Message, ended: str, text: str) -> Message:
    """The same message with how it ended in the place of its buttons."""
    kept = tuple(block for block in message.blocks if block["type"] != "actions")
    return Message(text=f"{text} {message.text}"[:TEXT], blocks=(*kept, section(ended)))


def spoken(markup: str) -> str:
    """The words of a line without signs, stars and date tokens, which a screen reader would spell."""
    return _SIGN.sub("", _TOKEN.sub("", markup)).replace("*", "")


def marked(message: Message, remark: str) -> Message:
    """The same message with a remark of the bot's own on top."""
    blocks = (context(remark), *message.blocks) if message.blocks else ()
    return replace(message, text=f"{remark} {message.text}"[:TEXT], blocks=blocks)


def bare(message: Message) -> Message:
    """The message as plain text, for when Slack refuses its blocks: nothing in it that could be refused."""
    said = "\n".join(_said(block) for block in message.blocks)
    return replace(message, text=f"{message.text}\n{said}"[:TEXT], blocks=())


def _said(block: Mapping[str, Any]) -> str:
    texts = [block.get("text"), *block.get("elements", ())] if block.get("type") != "actions" else []
    return " · ".join(str(text.get("text", "")) for text in texts if isinstance(text, Mapping))
