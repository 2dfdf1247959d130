"""The questions of `deploy/try`: a letter that is not shown is no answer."""

from __future__ import annotations

import asyncio
import json
import os

import pytest

from bot.practice.keys import Keyboard, question_of
from bot.practice.scene import buttons
from bot.practice.slack.workspace import Message
from tests.unit.golden import FOLDER

ASKED = [
    buttons(Message(channel="C", ts="1.1", user="U", text="", blocks=message["blocks"]))
    for name in ("whole", "others")
    for message in json.loads((FOLDER / f"{name}.json").read_text())
]


@pytest.mark.parametrize("actions", sorted(map(sorted, ASKED)))
def test_every_question_of_the_bot_can_be_answered_and_its_first_message_is_none(actions: list[str]) -> None:
    question = question_of(actions)
    assert (question is None) == (set(actions) <= {"abort", "take_over"})
    if question:
        letters = [one.letter for one in question.choices]
        assert len(set(letters)) == len(letters)
        assert {"y", "n"} <= set(letters)
        assert all(one.action in {"", *actions} for one in question.choices)
        assert max(map(len, question.prompt.split("\n"))) <= 78


@pytest.mark.parametrize("typed", ["", " ", "deny it", "yn", "yy", "x", "s", "\x1b[A", "да", "yes!", "approve", "0"])
def test_what_is_no_letter_that_is_shown_is_no_answer(typed: str) -> None:
    question = question_of({"approve", "not_now"})
    assert question
    assert question.chosen(typed) is None


@pytest.mark.parametrize(
    ("typed", "action"), [("y", "approve"), (" YES\r", "approve"), ("N", "not_now"), ("no", "not_now")]
)
def test_a_letter_counts_however_it_is_written(typed: str, action: str) -> None:
    question = question_of({"approve", "not_now", "commands"})
    assert question
    assert question.prompt == "@bob, do you approve?\n  y: approve · n: not now · c: all commands > "
    assert getattr(question.chosen(typed), "action", None) == action


async def test_lines_come_one_by_one_whole_and_then_none() -> None:
    """Pasted at once, typed in parts, or not text at all."""
    out, into = os.pipe()
    keyboard = Keyboard(descriptor=out)
    os.write(into, b"one\ntwo\n\xff")
    assert [await keyboard.line() for _ in range(2)] == ["one", "two"]
    rest = asyncio.ensure_future(keyboard.line())
    await asyncio.sleep(0)
    os.write(into, b"x\nunfinished")
    assert await rest == "\ufffdx"
    os.close(into)
    assert await keyboard.line() is None
    os.close(out)
