"""The limits of Slack's blocks: what it would refuse is said in its words, and what it takes is let through."""

from typing import Any

import pytest

from bot.practice.slack.limits import problems

# Limits


def test_blocks_within_the_limits_are_taken() -> None:
    confirm = {
        "title": {"type": "plain_text", "text": "Flush?"},
        "text": {"type": "mrkdwn", "text": "x" * 300},
        "confirm": {"type": "plain_text", "text": "Flush"},
        "deny": {"type": "plain_text", "text": "Not yet"},
    }
    button = {"type": "button", "text": {"type": "plain_text", "text": "Flush"}, "confirm": confirm, "style": "danger"}
    blocks = [
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 150}},
        {"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3000}},
        {"type": "section", "fields": [{"type": "mrkdwn", "text": "x"}] * 10},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "x"}] * 10},
        {"type": "actions", "elements": [button]},
        *menu(5),
        {"type": "divider"},
        {"type": "input", "label": text(2000), "element": {"type": "plain_text_input", "action_id": "reason"}},
    ]
    assert problems(blocks) == []


def text(length: int, kind: str = "plain_text") -> dict[str, Any]:
    return {"type": kind, "text": "x" * length}


CONFIRM = {"title": text(1), "text": text(1), "confirm": text(1), "deny": text(1)}
BUTTON = {"type": "button", "action_id": "a", "text": text(5)}
FIRST = "/0/elements/0"


def with_button(**more: Any) -> list[dict[str, Any]]:
    return [{"type": "actions", "elements": [BUTTON | more]}]


def menu(count: int, **more: str) -> list[dict[str, Any]]:
    options = [{"text": text(5), "value": "go_back:r1:2"}] * (count - 1) + [{"text": text(5), "value": "a"} | more]
    return [{"type": "actions", "elements": [{"type": "overflow", "action_id": "more", "options": options}]}]


@pytest.mark.parametrize(
    ("blocks", "said", "at"),
    [
        ({"type": "divider"}, "must be an array", ""),
        ([{"type": "divider"}] * 51, "no more than 50 items allowed", ""),
        ([{"type": "banner"}], "unsupported type: banner", "/0/type"),
        ([{"type": "section"}], "missing required field: text", "/0"),
        ([{"type": "section", "text": text(0)}], "must be more than 0 characters", "/0/text/text"),
        ([{"type": "section", "fields": [text(2001)]}], "must be less than 2001 characters", "/0/fields/0/text"),
        ([{"type": "section", "txt": 1, "text": text(1)}], "invalid additional property: txt", "/0"),
        ([{"type": "header", "text": text(151)}], "must be less than 151 characters", "/0/text/text"),
        ([{"type": "header", "text": text(5, "mrkdwn")}], "unsupported type: mrkdwn", "/0/text/type"),
        ([{"type": "context", "elements": [text(1)] * 11}], "no more than 10 items allowed", "/0/elements"),
        ([{"type": "divider", "block_id": "x" * 256}], "must be less than 256 characters", "/0/block_id"),
        ([{"type": "divider", "block_id": "b"}] * 2, "block_id already exists: b", "/1/block_id"),
        (
            [{"type": "actions", "elements": [BUTTON] * 2}],
            "action_id already exists in this block: a",
            "/0/elements/1/action_id",
        ),
        (with_button(text=text(76)), "must be less than 76 characters", FIRST + "/text/text"),
        (with_button(value="x" * 2001), "must be less than 2001 characters", FIRST + "/value"),
        (with_button(action_id="x" * 256), "must be less than 256 characters", FIRST + "/action_id"),
        (with_button(style="green"), "must be one of: primary, danger", FIRST + "/style"),
        (
            with_button(confirm=CONFIRM | {"title": text(101)}),
            "must be less than 101 characters",
            FIRST + "/confirm/title/text",
        ),
        (
            with_button(confirm=CONFIRM | {"confirm": text(31)}),
            "must be less than 31 characters",
            FIRST + "/confirm/confirm/text",
        ),
        ([{"type": "input", "label": text(1)}], "missing required field: element", "/0"),
        ([{"type": "actions", "elements": [{"type": "checkboxes"}]}], "unsupported type: checkboxes", FIRST + "/type"),
        (menu(1), "no fewer than 2 items allowed", FIRST + "/options"),
        (menu(6), "no more than 5 items allowed", FIRST + "/options"),
        (menu(2, value="x" * 151), "must be less than 151 characters", FIRST + "/options/1/value"),
        (
            [{"type": "section", "text": text(2700)}] * 5,
            "msg_blocks_too_long: more than about 13200 characters in all",
            "",
        ),
    ],
)
def test_what_slack_would_refuse_is_said(blocks: Any, said: str, at: str) -> None:
    assert problems(blocks) == [f"{said} [json-pointer:/blocks{at}]"]


def test_twenty_six_buttons_are_one_too_many() -> None:
    elements = [{"type": "button", "action_id": f"a{n}", "text": text(1)} for n in range(26)]
    assert problems([{"type": "actions", "elements": elements}]) == [
        "no more than 25 items allowed [json-pointer:/blocks/0/elements]"
    ]
