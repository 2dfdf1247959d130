"""What Slack would show, as lines for a terminal: marks rendered, wrapped, and nothing that could move the cursor.

It reads the blocks that Slack takes, whatever the bot says in them. Without styles a code span keeps its marks, as
nothing else would show where somebody's text begins and ends.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.emoji import Emoji
from rich.text import Text

from bot.practice.slack.workspace import Ephemeral, Message, View

WIDTH = 80

_COLOURS = {"code": "cyan", "small": "dim"}
"""The styles that the terminal's library calls otherwise."""

_BLOCK = re.compile(r"\n?```\n?(.*?)\n?```\n?", re.DOTALL)
_MARK = re.compile(
    r"`(?P<code>[^`\n]+)`|<(?P<token>[^<>\n]+)>|:(?P<sign>[a-z0-9_+-]+):"
    r"|(?<!\w)\*(?P<bold>[^\s*](?:[^*\n]*[^\s*])?)\*(?!\w)"
    r"|(?<!\w)_(?P<italic>[^\s_](?:[^_\n]*[^\s_])?)_(?!\w)"
    r"|(?<!\w)~(?P<strike>[^\s~](?:[^~\n]*[^\s~])?)~(?!\w)"
)
_DATE = re.compile(r"!date\^(\d+)\^([^|^]*)[^|]*\|(.*)")
_TIMES = {
    "date_num": "%Y-%m-%d",
    "date": "%B %d, %Y",
    "date_short": "%b %d, %Y",
    "date_long": "%A, %B %d, %Y",
    "time": "%H:%M",
    "time_secs": "%H:%M:%S",
}
Shown = Message | Ephemeral | View


def shown(what: Shown, names: Mapping[str, str], *, width: int = WIDTH, styles: bool = False) -> str:
    """A message or a form as lines of at most `width` columns; ids are shown by their names."""
    console = Console(
        width=width,
        color_system="standard" if styles else None,
        force_terminal=styles,
        no_color=False,
        legacy_windows=False,
    )
    return "\n".join(_Screen(names=names, width=width, styles=styles, console=console).lines_of(what))


def printable(text: str) -> str:
    """The text in one line, with a blank for every other space, and without what a terminal would obey."""
    return "".join(char if char.isprintable() else " " if char.isspace() else "" for char in text)


@dataclass(frozen=True, kw_only=True)
class _Screen:
    """Where it is shown."""

    names: Mapping[str, str]
    width: int
    styles: bool
    console: Console

    def lines_of(self, what: Shown) -> Iterator[str]:
        if isinstance(what, View):
            yield from self._plain(_text(what.body.get("title")), "bold")
            for block in what.body.get("blocks", ()):
                yield from self._block(block)
            ends = [f"[{_text(what.body[name])}]" for name in ("submit", "close") if what.body.get(name)]
            yield from self._plain(" ".join(ends), "bold")
            return
        for block in what.blocks:
            yield from self._block(block)
        if what.text and not what.blocks:
            yield from self._markup(what.text)
        for file in what.files if isinstance(what, Message) else ():
            yield from self._plain(f"[file {file.name}, {len(file.content)} bytes]", "small")

    def _block(self, block: Mapping[str, Any]) -> Iterator[str]:
        """One of those that the thread and its views have; a form is filled in at the keyboard (keys.py)."""
        match block.get("type"):
            case "header":
                yield from self._plain(f"━━ {_text(block['text'])}", "bold")
            case "section":
                for part in (block.get("text"), *block.get("fields", ())):
                    yield from self._part(part)
            case "context":
                yield from self._part({"type": "mrkdwn", "text": "  ".join(map(_text, block["elements"]))}, "small")
            case "actions":
                yield from self._plain(" ".join(map(_act, block["elements"])), "bold")
            case kind:
                yield from self._plain(f"[a block of the kind {kind}]", "small")

    def _part(self, part: Mapping[str, Any] | None, style: str = "") -> Iterator[str]:
        if part and part.get("type") == "plain_text":
            yield from self._plain(_text(part), style)
        elif part:
            yield from self._markup(_text(part), style)

    def _plain(self, text: str, style: str) -> Iterator[str]:
        for line in html.unescape(text).split("\n") if text else ():
            yield from self._wrapped(_styled(line, style))

    def _markup(self, text: str, style: str = "") -> Iterator[str]:
        """Slack's markup: every second part of it is a block of code."""
        for at, part in enumerate(_BLOCK.split(text)):
            if at % 2:
                for line in html.unescape(part).split("\n"):
                    yield from self._wrapped(_styled(line, "code"), first="    ", then="      ")
            elif part:
                for line in part.split("\n"):
                    quoted = re.match(r"(?:&gt;|>) ?", line)
                    before = "▌ " if quoted else ""
                    inside = line[quoted.end() :] if quoted else line
                    yield from self._wrapped(self._read(inside, style), first=before, then=f"{before}  ")

    def _read(self, text: str, style: str) -> Text:
        """A line of markup without its marks."""
        read, at = Text(), 0
        for mark in _MARK.finditer(text):
            read.append_text(_styled(html.unescape(text[at : mark.start()]), style))
            at = mark.end()
            kind, inside = next((name, found) for name, found in mark.groupdict().items() if found is not None)
            match kind:
                case "code":
                    around = "" if self.styles else "`"
                    read.append_text(_styled(f"{around}{html.unescape(inside)}{around}", "code"))
                case "token":
                    read.append_text(_styled(html.unescape(self._token(inside)), style))
                case "sign":
                    read.append_text(_styled(Emoji.replace(mark[0]), style))
                case _:
                    read.append_text(self._read(inside, kind))
        return read.append_text(_styled(html.unescape(text[at:]), style))

    def _token(self, token: str) -> str:
        """What stands between < and >: a time, a person, a group, a channel, or a link."""
        if date := _DATE.fullmatch(token):
            return _time(int(date[1]), date[2]) or date[3]
        target, _, label = token.partition("|")
        name = target[1:].removeprefix("subteam^")
        match target[0]:
            case "@" | "!":
                return f"@{self.names.get(name, label.removeprefix('@') or name)}"
            case "#":
                return f"#{self.names.get(name, label or name)}"
            case _:
                return f"{label} ({target})" if label and label != target else target

    def _wrapped(self, text: Text, *, first: str = "", then: str = "  ") -> Iterator[str]:
        """Lines that fit, broken at blanks where there are any; what goes on in the next line is set in there."""
        before, rest = first, text
        while True:
            line = rest.wrap(self.console, self.width - len(before))[0]
            line.rstrip()
            yield before + self._rendered(line)
            left = len(rest.plain[len(line) :].lstrip(" "))
            if not left:
                return
            before, rest = then, rest[len(rest) - left :]

    def _rendered(self, line: Text) -> str:
        with self.console.capture() as captured:
            self.console.print(line, end="", soft_wrap=True)
        return captured.get()


def _styled(text: str, style: str) -> Text:
    return Text(printable(text), _COLOURS.get(style, style))


def _time(unix: int, written: str) -> str:
    """A time as the clock of this machine has it; empty where Slack would take the words beside it."""
    try:
        at = datetime.fromtimestamp(unix, UTC).astimezone()
    except (OverflowError, ValueError, OSError):
        return ""
    text = re.sub(r"\{(\w+)\}", lambda name: at.strftime(_TIMES[name[1]]) if name[1] in _TIMES else "\0", written)
    return "" if "\0" in text else text


def _text(part: Mapping[str, Any] | None) -> str:
    """The words of a text, or what stands for a picture."""
    return str((part or {}).get("text") or (part or {}).get("alt_text") or "")


def _act(element: Mapping[str, Any]) -> str:
    """What can be clicked: a button, or a menu."""
    return f"[{_text(element.get('text')) or '⋯'}]"
