"""What Slack takes as blocks: sizes, counts, kinds and names, each fault said as Slack says it.

Pure: plain JSON values go in, sentences come out. It knows nothing of servers, of messages, or of whoever
wrote the blocks, so the tests of a bot's rendering use it as the local Slack does.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

MOST_TEXT_POSTED = 40_000
"""Characters of a message's `text`; what is longer is cut off."""

MOST_TEXT_UPDATED = 4_000
"""Characters of `text` in `chat.update`; what is longer is refused as `msg_too_long`."""

MOST_JSON = 13_200
"""Characters of all blocks of a message, as JSON. Undocumented; near what bolt-js#2509 and #2867 measured."""

_Json = dict[str, object]

Surface = Literal["message", "modal"]

MOST_BLOCKS: Mapping[Surface, int] = MappingProxyType({"message": 50, "modal": 100})

_TEXTS = ("plain_text", "mrkdwn")
_PLAIN = ("plain_text",)


@dataclass(kw_only=True)
class _Findings:
    """What was found wrong so far, and the ids that may not come twice."""

    said: list[str] = field(default_factory=list)
    action_ids: set[str] = field(default_factory=set)

    def say(self, what: str, at: str) -> None:
        self.said.append(f"{what} [json-pointer:{at}]")


def problems(blocks: object, *, surface: Surface = "message") -> list[str]:
    """Say everything Slack would refuse in these blocks, in its words; an empty list means that it takes them.

    Each sentence ends in the JSON pointer of the place, such as `[json-pointer:/blocks/0/text/text]`.
    """
    found = _Findings()
    if not isinstance(blocks, list):
        found.say("must be an array", "/blocks")
        return found.said
    _count(found, blocks, "/blocks", most=MOST_BLOCKS[surface], least=0)
    block_ids: set[str] = set()
    for number, block in enumerate(blocks):
        at = f"/blocks/{number}"
        _block(found, block, at)
        block_id = block.get("block_id") if isinstance(block, dict) else None
        if isinstance(block_id, str):
            if block_id in block_ids:
                found.say(f"block_id already exists: {block_id}", f"{at}/block_id")
            block_ids.add(block_id)
    if surface == "message" and too_long(blocks):
        found.say(f"msg_blocks_too_long: more than about {MOST_JSON} characters in all", "/blocks")
    return found.said


def too_long(blocks: object) -> bool:
    """Say whether all blocks together are more than a message holds (`msg_blocks_too_long`)."""
    return len(json.dumps(blocks, ensure_ascii=False, separators=(",", ":"))) > MOST_JSON


def _block(found: _Findings, block: object, at: str) -> None:
    if not isinstance(block, dict):
        found.say("must be an object", at)
        return
    check = _BLOCKS.get(str(block.get("type")))
    if check is None:
        found.say(f"unsupported type: {block.get('type')}", f"{at}/type")
        return
    found.action_ids = set()  # unique within a block, not within a message
    _string(found, block, "block_id", at, most=255)
    check(found, block, at)


def _known(found: _Findings, value: _Json, at: str, names: str) -> None:
    for name in sorted(value.keys() - {"type", "block_id", *names.split()}):
        found.say(f"invalid additional property: {name}", at)


def _count(found: _Findings, value: object, at: str, *, most: int, least: int = 1) -> list[object]:
    if not isinstance(value, list):
        found.say("must be an array", at)
        return []
    if len(value) > most:
        found.say(f"no more than {most} items allowed", at)
    if len(value) < least:
        found.say(f"no fewer than {least} items allowed", at)
    return value


def _length(found: _Findings, value: str, at: str, *, most: int, least: int = 1) -> None:
    if len(value) > most:
        found.say(f"must be less than {most + 1} characters", at)
    if len(value) < least:
        found.say(f"must be more than {least - 1} characters", at)


def _string(found: _Findings, owner: _Json, name: str, at: str, *, most: int, needed: bool = False) -> None:
    value = owner.get(name)
    if value is None:
        if needed:
            found.say(f"missing required field: {name}", at)
    elif not isinstance(value, str):
        found.say("must be a string", f"{at}/{name}")
    else:
        _length(found, value, f"{at}/{name}", most=most)


def _text(found: _Findings, owner: _Json, name: str, at: str, *, most: int, kinds: tuple[str, ...] = _TEXTS) -> None:
    if name in owner:
        _text_object(found, owner[name], f"{at}/{name}", most=most, kinds=kinds)
    else:
        found.say(f"missing required field: {name}", at)


def _text_object(found: _Findings, value: object, at: str, *, most: int, kinds: tuple[str, ...] = _TEXTS) -> None:
    if not isinstance(value, dict):
        found.say("must be an object", at)
        return
    if value.get("type") not in kinds:
        found.say(f"unsupported type: {value.get('type')}", f"{at}/type")
    _known(found, value, at, "text emoji verbatim")
    _string(found, value, "text", at, most=most, needed=True)


def _section(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "text fields accessory expand")
    if "text" not in block and "fields" not in block:
        found.say("missing required field: text", at)
    if "text" in block:
        _text(found, block, "text", at, most=3000)
    if "fields" in block:
        for number, item in enumerate(_count(found, block["fields"], f"{at}/fields", most=10)):
            _text_object(found, item, f"{at}/fields/{number}", most=2000)
    if "accessory" in block:
        _element(found, block["accessory"], f"{at}/accessory")


def _header(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "text level")
    _text(found, block, "text", at, most=150, kinds=_PLAIN)


def _divider(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "")


def _context(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "elements")
    for number, item in enumerate(_count(found, block.get("elements"), f"{at}/elements", most=10)):
        place = f"{at}/elements/{number}"
        if isinstance(item, dict) and item.get("type") == "image":
            _image(found, item, place)
        else:
            _text_object(found, item, place, most=3000)


def _actions(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "elements")
    for number, item in enumerate(_count(found, block.get("elements"), f"{at}/elements", most=25)):
        _element(found, item, f"{at}/elements/{number}")


def _image(found: _Findings, block: _Json, at: str) -> None:
    _string(found, block, "image_url", at, most=3000)
    _string(found, block, "alt_text", at, most=2000, needed=True)


def _input(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "label element dispatch_action hint optional")
    _text(found, block, "label", at, most=2000, kinds=_PLAIN)
    if "hint" in block:
        _text(found, block, "hint", at, most=2000, kinds=_PLAIN)
    _element(found, block.get("element"), f"{at}/element")


def _markdown(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "text")
    _string(found, block, "text", at, most=12_000, needed=True)


def _rich_text(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "elements")
    parts = ("rich_text_section", "rich_text_list", "rich_text_preformatted", "rich_text_quote")
    for number, item in enumerate(_count(found, block.get("elements"), f"{at}/elements", most=1000)):
        if not isinstance(item, dict) or item.get("type") not in parts:
            found.say("unsupported type", f"{at}/elements/{number}")


def _table(found: _Findings, block: _Json, at: str) -> None:
    _known(found, block, at, "rows column_settings")
    for number, row in enumerate(_count(found, block.get("rows"), f"{at}/rows", most=100)):
        for column, cell in enumerate(_count(found, row, f"{at}/rows/{number}", most=20)):
            kinds = ("raw_text", "raw_number", "rich_text")
            if not isinstance(cell, dict) or cell.get("type") not in kinds:
                found.say("unsupported type", f"{at}/rows/{number}/{column}")


def _element(found: _Findings, element: object, at: str) -> None:
    if not isinstance(element, dict):
        found.say("must be an object", at)
        return
    check = _ELEMENTS.get(str(element.get("type")))
    if check is None:
        found.say(f"unsupported type: {element.get('type')}", f"{at}/type")
        return
    _string(found, element, "action_id", at, most=255)
    action_id = element.get("action_id")
    if isinstance(action_id, str):
        if action_id in found.action_ids:
            found.say(f"action_id already exists in this block: {action_id}", f"{at}/action_id")
        found.action_ids.add(action_id)
    if "confirm" in element:
        _confirm(found, element["confirm"], f"{at}/confirm")
    check(found, element, at)


def _button(found: _Findings, element: _Json, at: str) -> None:
    _known(found, element, at, "text action_id url value style confirm accessibility_label")
    _text(found, element, "text", at, most=75, kinds=_PLAIN)
    _string(found, element, "value", at, most=2000)
    _string(found, element, "url", at, most=3000)
    _string(found, element, "accessibility_label", at, most=75)
    if element.get("style", "primary") not in ("primary", "danger"):
        found.say("must be one of: primary, danger", f"{at}/style")


def _confirm(found: _Findings, confirm: object, at: str) -> None:
    if not isinstance(confirm, dict):
        found.say("must be an object", at)
        return
    _known(found, confirm, at, "title text confirm deny style")
    _text(found, confirm, "title", at, most=100, kinds=_PLAIN)
    _text(found, confirm, "text", at, most=300)
    _text(found, confirm, "confirm", at, most=30, kinds=_PLAIN)
    _text(found, confirm, "deny", at, most=30, kinds=_PLAIN)
    if confirm.get("style", "primary") not in ("primary", "danger"):
        found.say("must be one of: primary, danger", f"{at}/style")


def _options(most: int) -> Callable[[_Findings, _Json, str], None]:
    def check(found: _Findings, element: _Json, at: str) -> None:
        if "option_groups" in element:
            return
        for number, option in enumerate(_count(found, element.get("options"), f"{at}/options", most=most)):
            place = f"{at}/options/{number}"
            if not isinstance(option, dict):
                found.say("must be an object", place)
                continue
            _text(found, option, "text", place, most=75)
            _string(found, option, "value", place, most=150, needed=True)

    return check


def _plain_input(found: _Findings, element: _Json, at: str) -> None:
    if "placeholder" in element:
        _text(found, element, "placeholder", at, most=150, kinds=_PLAIN)


_BLOCKS: Mapping[str, Callable[[_Findings, _Json, str], None]] = MappingProxyType(
    {
        "section": _section, "header": _header, "divider": _divider, "context": _context, "actions": _actions,
        "image": _image, "input": _input, "markdown": _markdown, "rich_text": _rich_text, "table": _table,
    }
)  # fmt: skip

_ELEMENTS: Mapping[str, Callable[[_Findings, _Json, str], None]] = MappingProxyType(
    {
        "button": _button, "image": _image, "overflow": _options(5), "radio_buttons": _options(10),
        "checkboxes": _options(10), "static_select": _options(100), "multi_static_select": _options(100),
        "users_select": _plain_input, "channels_select": _plain_input, "conversations_select": _plain_input,
        "datepicker": _plain_input, "timepicker": _plain_input, "plain_text_input": _plain_input,
        "number_input": _plain_input,
    }
)  # fmt: skip
