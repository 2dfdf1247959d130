"""Shows a Slack message in a terminal: the text that people would read, nothing that could move the cursor."""

from __future__ import annotations

import html
import re
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from bot.practice.slack.workspace import Ephemeral, Message

_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")
_GROUP = re.compile(r"<!subteam\^([A-Z0-9]+)(?:\|[^>]*)?>")
_PERSON = re.compile(r"<@([A-Z0-9]+)(?:\|[^>]*)?>")
_LINK = re.compile(r"<(https?://[^|>]*)(?:\|([^>]*))?>")


def shown(message: Message | Ephemeral, names: Mapping[str, str], *, width: int = 110) -> str:
    """The message as lines of text; ids of people are shown by their names."""
    lines: list[str] = []
    for block in message.blocks or [{"type": "section", "text": {"text": message.text}}]:
        lines += _block(block, names, width)
    files = message.files if isinstance(message, Message) else ()
    lines += [f"[file {file.name}, {len(file.content)} bytes]" for file in files]
    return "\n".join("".join(char for char in line if char.isprintable()) for line in lines)


def _block(block: Mapping[str, Any], names: Mapping[str, str], width: int) -> Iterator[str]:
    match block.get("type"):
        case "header":
            yield _plain(block["text"]["text"], names).upper()
        case "section":
            parts = [block["text"]] if "text" in block else []
            for part in [*parts, *block.get("fields", [])]:
                yield from _wrapped(_plain(part["text"], names), width)
        case "context":
            texts = [_plain(element["text"], names) for element in block["elements"] if "text" in element]
            yield from _wrapped(" · ".join(texts), width)
        case "actions":
            yield " ".join(f"[ {element['text']['text']} ]" for element in block["elements"] if "text" in element)
        case _:
            return


def _plain(text: str, names: Mapping[str, str]) -> str:
    text = _DATE.sub(r"\1", text)
    text = _GROUP.sub(lambda found: f"@{names.get(found[1], found[1])}", text)
    text = _PERSON.sub(lambda found: f"@{names.get(found[1], found[1])}", text)
    text = _LINK.sub(lambda found: found[2] or found[1], text)
    return html.unescape(text)


def _wrapped(text: str, width: int) -> Iterator[str]:
    code = False
    for line in text.split("\n"):
        if line.strip() == "```":
            code = not code
            continue
        bare = line.replace("```", "")
        indent = "    " if code or bare != line else ""
        if line.count("```") % 2:
            code = not code
        yield from textwrap.wrap(bare, width, initial_indent=indent, subsequent_indent=indent + "  ") or [""]
