"""What somebody types as a reason is read as people will read it, whatever the button that asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from bot.core.decisions.decide import Postpone, ProposeSkip, TakeOver, decide
from bot.core.runs.transitions import Status
from bot.errors import Refused
from tests.build import SECOND, Story
from tests.unit.core.test_decide import ask_of, asking, person


def says(kind: type, reason: str) -> tuple[Story, Any]:
    """The run, and the command with that reason."""
    story = asking() if kind is Postpone else Story().until("stop-dovecot").fail()
    beside: dict[type, dict[str, object]] = {
        Postpone: {"ask": ask_of(story.run), "message": "1.1"} if story.run.status is Status.ASKING else {},
        ProposeSkip: {"held": story.run.held},
    }
    return story, kind(person=person(SECOND), reason=reason, **beside.get(kind, {}))


@pytest.mark.parametrize("reason", ["\u200b", "\u2060", "\u3164", "\x01", " \u200b\n\u202e "])
@pytest.mark.parametrize("kind", [ProposeSkip, TakeOver, Postpone])
def test_a_reason_that_nobody_can_read_is_none(kind: type, reason: str) -> None:
    """As behind reason= and in `release`; the thread and the record would show nothing of it."""
    story, command = says(kind, reason)
    with pytest.raises(Refused, match="needs a reason"):
        decide(story.run, command, story.at)


@pytest.mark.parametrize("kind", [ProposeSkip, TakeOver, Postpone])
def test_of_a_reason_what_can_be_read_is_kept_in_its_lines(kind: type) -> None:
    story, command = says(kind, "\u200b it is stopped by hand,\r\nI \u202esaw it \u2060")
    (made,) = decide(story.run, command, story.at)
    assert getattr(made, "reason", "") == "it is stopped by hand,\nI saw it"
