"""What people type with a click loses its secrets before it is decided on, and so before it becomes a fact."""

from __future__ import annotations

from dataclasses import fields
from typing import get_args

from bot.core.decisions.approval import Person
from bot.core.decisions.decide import GoBack, Postpone, ProposeSkip, Steering, TakeOver, WaitLonger
from bot.engine.service import _without_secrets
from tests.build import SECOND


def typed(reason: str) -> tuple[GoBack | TakeOver | ProposeSkip | Postpone | WaitLonger, ...]:
    """Whatever a person types something for."""
    person = Person(id=SECOND, may_ask=True, may_approve=True)
    return (
        GoBack(person=person, reason=reason),
        TakeOver(person=person, reason=reason),
        ProposeSkip(person=person, held=1, reason=reason),
        Postpone(person=person, ask=1, reason=reason, message="1.1"),
        WaitLonger(person=person, ask=1, reason=reason, message="1.1"),
    )


def test_every_text_that_somebody_types_loses_its_secrets_before_it_is_decided_on() -> None:
    commands = typed("as its password = pl4nted")
    assert tuple(_without_secrets(one) for one in commands) == typed("as its password = (hidden)")


def test_what_is_text_and_comes_from_nobodys_keyboard_is_named_here() -> None:
    """All else of a command is typed: its repr does not show it, and by that it is redacted."""
    texts = {(one.name, one.repr) for command in get_args(Steering) for one in fields(command) if one.type == "str"}
    assert {name for name, shown in texts if shown} == {"mark", "message", "shown"}
    assert {type(one) for one in typed("")} == {
        command for command in get_args(Steering) if not all(one.repr for one in fields(command))
    }
