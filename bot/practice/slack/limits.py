"""What Slack takes as blocks: sizes, counts, kinds and names, each fault said as Slack says it.

A table of what the bot sends: any other kind is refused as unsupported, so a new one needs a row. Pure: it knows
nothing of servers, of messages, or of whoever wrote the blocks, so the tests of a bot's rendering use it, too.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Literal

MOST_TEXT_POSTED = 40_000
"""Characters of a message's `text`; what is longer is cut off."""

MOST_TEXT_UPDATED = 4_000
"""Characters of `text` in `chat.update`; what is longer is refused as `msg_too_long`."""

MOST_JSON = 13_200
"""Characters of all blocks of a message, as JSON. Undocumented; near what bolt-js#2509 and #2867 measured."""

MOST_VIEW = 250_000
"""Characters of a view, as the client writes its JSON; what is more is refused as `view_too_large`."""

Surface = Literal["message", "modal"]

MOST_BLOCKS: Mapping[Surface, int] = MappingProxyType({"message": 50, "modal": 100})

_Check = Callable[[object, str], Iterator[str]]
"""Yields what is wrong with a value that stands at this JSON pointer."""


def problems(blocks: object, *, surface: Surface = "message") -> list[str]:
    """Say everything Slack would refuse in these blocks, in its words; an empty list means that it takes them.

    Each sentence ends in the JSON pointer of the place, such as `[json-pointer:/blocks/0/text/text]`.
    """
    found = list(_list(MOST_BLOCKS[surface], _BLOCK, least=0)(blocks, "/blocks"))
    if isinstance(blocks, list):
        found += _twice(blocks, "/blocks", "block_id", "")
        for number, block in enumerate(blocks):
            elements = block.get("elements") if isinstance(block, dict) else None
            if isinstance(elements, list):
                found += _twice(elements, f"/blocks/{number}/elements", "action_id", " in this block")
        if surface == "message" and too_long(blocks):
            found.append(_at("/blocks", f"msg_blocks_too_long: more than about {MOST_JSON} characters in all"))
    return found


def modal_problems(body: object) -> list[str]:
    """Say everything Slack would refuse in this modal, as `problems` does for blocks."""
    found = list(_MODAL(body, "/view"))
    if isinstance(body, dict):
        blocks = body.get("blocks")
        found += [one.replace("pointer:/", "pointer:/view/") for one in problems(blocks, surface="modal")]
        if "submit" not in body and any(isinstance(one, dict) and one.get("type") == "input" for one in blocks or []):
            found.append(_at("/view", "missing required field: submit"))
        if view_too_large(body):
            found.append(_at("/view", f"view_too_large: more than {MOST_VIEW} characters in all"))
    return found


def too_long(blocks: object) -> bool:
    """Say whether all blocks together are more than a message holds (`msg_blocks_too_long`)."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))) > MOST_JSON


def view_too_large(body: object) -> bool:
    """Say whether a view is more than Slack takes."""
    return len(json.dumps(body)) > MOST_VIEW


def _at(place: str, wrong: str) -> str:
    return f"{wrong} [json-pointer:{place}]"


def _twice(values: list[object], at: str, name: str, where: str) -> Iterator[str]:
    seen = set()
    for number, value in enumerate(values):
        key = value.get(name) if isinstance(value, dict) else None
        if isinstance(key, str):
            if key in seen:
                yield _at(f"{at}/{number}/{name}", f"{name} already exists{where}: {key}")
            seen.add(key)


# The kinds of values


def _string(most: int) -> _Check:
    def check(value: object, at: str) -> Iterator[str]:
        if not isinstance(value, str):
            yield _at(at, "must be a string")
        elif len(value) > most:
            yield _at(at, f"must be less than {most + 1} characters")
        elif not value:
            yield _at(at, "must be more than 0 characters")

    return check


def _list(most: int, each: _Check, *, least: int = 1) -> _Check:
    def check(value: object, at: str) -> Iterator[str]:
        if not isinstance(value, list):
            yield _at(at, "must be an array")
            return
        if len(value) > most:
            yield _at(at, f"no more than {most} items allowed")
        if len(value) < least:
            yield _at(at, f"no fewer than {least} items allowed")
        for number, item in enumerate(value):
            yield from each(item, f"{at}/{number}")

    return check


def _one_of(*values: str) -> _Check:
    def check(value: object, at: str) -> Iterator[str]:
        if value not in values:
            yield _at(at, f"must be one of: {', '.join(values)}")

    return check


def _any(_value: object, _at: str) -> Iterator[str]:
    yield from ()


def _fields(*needed: str, **fields: _Check) -> _Check:
    """An object with these fields and no others; of `text|fields`, one is needed."""

    def check(value: object, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield _at(at, "must be an object")
            return
        for name in sorted(value.keys() - {"type", *fields}):
            yield _at(at, f"invalid additional property: {name}")
        for names in needed:
            if not value.keys() & set(names.split("|")):
                yield _at(at, f"missing required field: {names.partition('|')[0]}")
        for name in fields.keys() & value.keys():
            yield from fields[name](value[name], f"{at}/{name}")

    return check


def _by_type(**kinds: _Check) -> _Check:
    """An object whose `type` says which of these it is."""

    def check(value: object, at: str) -> Iterator[str]:
        if not isinstance(value, dict):
            yield _at(at, "must be an object")
        elif value.get("type") not in kinds:
            yield _at(f"{at}/type", f"unsupported type: {value.get('type')}")
        else:
            yield from kinds[str(value["type"])](value, at)

    return check


def _plain(most: int) -> _Check:
    return _by_type(plain_text=_fields("text", text=_string(most), emoji=_any))


def _text(most: int) -> _Check:
    text = _string(most)
    return _by_type(plain_text=_fields("text", text=text, emoji=_any), mrkdwn=_fields("text", text=text, verbatim=_any))


# The table

_STYLE = _one_of("primary", "danger")

_CONFIRM = _fields(
    *("title", "text", "confirm", "deny"),
    title=_plain(100), text=_text(300), confirm=_plain(30), deny=_plain(30), style=_STYLE,
)  # fmt: skip

_OPTION = _fields("text", "value", text=_plain(75), value=_string(150))

_ACTS = _by_type(
    button=_fields(
        "text", text=_plain(75), action_id=_string(255), value=_string(2000), style=_STYLE, confirm=_CONFIRM
    ),
    overflow=_fields("options", action_id=_string(255), options=_list(5, _OPTION, least=2), confirm=_CONFIRM),
)

_OPTIONS = _list(100, _OPTION)

_TYPED = _by_type(
    plain_text_input=_fields(action_id=_string(255), multiline=_any, max_length=_any, initial_value=_string(3000)),
    static_select=_fields(
        "options|option_groups",
        action_id=_string(255),
        options=_OPTIONS,
        option_groups=_list(100, _fields("label", "options", label=_plain(75), options=_OPTIONS)),
        initial_option=_OPTION,
    ),
    radio_buttons=_fields("options", action_id=_string(255), options=_list(10, _OPTION), initial_option=_OPTION),
)

_ID = _string(255)

_BLOCK = _by_type(
    header=_fields("text", block_id=_ID, text=_plain(150)),
    section=_fields("text|fields", block_id=_ID, text=_text(3000), fields=_list(10, _text(2000)), expand=_any),
    divider=_fields(block_id=_ID),
    context=_fields("elements", block_id=_ID, elements=_list(10, _text(3000))),
    actions=_fields("elements", block_id=_ID, elements=_list(25, _ACTS)),
    input=_fields(
        "label", "element", block_id=_ID, label=_plain(2000), element=_TYPED, optional=_any, dispatch_action=_any
    ),
)

_MODAL = _by_type(
    modal=_fields(
        "title", title=_plain(24), submit=_plain(24), close=_plain(24), blocks=_any,
        callback_id=_string(255), private_metadata=_string(3000),
    )
)  # fmt: skip
