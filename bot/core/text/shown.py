"""Text of a host or a person before it is shown anywhere: nothing in it that nobody sees, and a line is one line.

The one place for that; what a mark means where it is shown (Slack, Markdown), each of these knows for itself.
"""

from __future__ import annotations

import re
import textwrap

_BREAKS = re.compile("\r\n|[\r\x0b\x0c\x85\u2028\u2029]")
_UNSEEN = re.compile(
    "["
    "\x00-\x08\x0e-\x1f\x7f-\x9f"  # control characters
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\uffa0\u2800\ufe00-\ufe0f"  # without width, or blank
    "\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # the same, and what turns writing round
    "\ud800-\udfff\U000e0000-\U000e0fff"  # halves of characters, and tags
    "]"
)


def in_lines(text: str) -> str:
    """The text in its own lines, every one of which ends with a newline character, without what nobody sees."""
    if text.isascii() and text.isprintable():  # most texts, and they can be long
        return text
    return _UNSEEN.sub("", _BREAKS.sub("\n", text))


def in_line(text: str) -> str:
    """The text in one line, with one space where there were several, or a new line."""
    return " ".join(in_lines(text).split())


def set_in(text: str, by: int = 4) -> str:
    """The text in its own lines, each behind so many blanks: for a plain page, where lines of the bot's own are not."""
    return textwrap.indent(in_lines(text), " " * by, lambda _line: True)
