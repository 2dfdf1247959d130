"""Text of hosts and people as Markdown that shows it as it is: nothing of it becomes a link, a heading or a mention."""

from __future__ import annotations

import re
from collections.abc import Iterator

from bot.core.text.shown import in_line, in_lines

_NAME = re.compile(r"(?!.*www\.)[A-Za-z0-9][A-Za-z0-9.+-]*")
_MORE = re.compile(r"://|www\.|@|:[\w+-]+:")
"""What many readers of Markdown make links, mentions and emoji of, though it is none."""


def code(text: str) -> str:
    """What a host printed or a person typed, or a command: a code span in one line, in which nothing is Markdown."""
    text = in_lines(text).replace("\n", " ").strip()
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}" if text else "nothing"


def block(text: str) -> Iterator[str]:
    """The same in lines."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", text)), default=0))
    yield f"{fence}text"
    yield from in_lines(text).rstrip("\n").split("\n")
    yield fence


def name(text: str) -> str:
    """A name; as code where it holds what might be more than one."""
    return text if _NAME.fullmatch(text) else code(text)


def cell(text: str) -> str:
    return name(text).replace("|", "\\|")


def prose(text: str) -> str:
    """Words of the procedure's, wherever in a line they come to stand; as code what readers make more of."""
    if _MORE.search(text):
        return code(text)
    escaped = re.sub(r"([\\`*_{}\[\]<>#|~&])", r"\\\1", in_line(text))
    return re.sub(r"^(\d*)([-+=.)])", r"\1\\\2", escaped)
