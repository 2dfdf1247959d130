"""The questions of `dovecot-bot try`: what can be answered with which letter, and a keyboard to answer with.

Only letters that are shown count. It knows of buttons and forms, and nothing of runs.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from bot.practice.scene import REQUESTER, SECOND


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A letter, the button that it clicks, by whom, and what it says; `form`: the button opens a form to be sent.

    With no button, the trial ends as it is.
    """

    letter: str
    says: str
    action: str = ""
    by: str = SECOND
    form: bool = False


_LEAVE = Choice(letter="n", says="end here", by=REQUESTER)
_GO_BACK = Choice(letter="g", says="go back", action="go_back", by=REQUESTER, form=True)
_COMMANDS = Choice(letter="c", says="all commands", action="commands")
_TAKE_OVER = Choice(letter="t", says="take over by hand", action="take_over", by=REQUESTER, form=True)

_QUESTIONS: Sequence[tuple[str, Sequence[Choice]]] = (
    (
        "@bob, do you approve?",
        (
            Choice(letter="y", says="approve", action="approve"),
            Choice(letter="n", says="not now", action="not_now", form=True),
            Choice(letter="w", says="wait longer", action="wait_longer", form=True),
            _GO_BACK,
            _COMMANDS,
        ),
    ),
    (
        "@bob, may it be skipped?",
        (Choice(letter="y", says="agree", action="agree_skip"), _LEAVE),
    ),
    (
        "@alice, start dovecot again?",
        (Choice(letter="y", says="start", action="start_again", by=REQUESTER), _TAKE_OVER, _LEAVE),
    ),
    (
        "@alice, retry?",
        (
            Choice(letter="y", says="retry", action="retry", by=REQUESTER),
            Choice(letter="s", says="skip", action="skip", by=REQUESTER, form=True),
            _GO_BACK,
            _TAKE_OVER,
            _LEAVE,
        ),
    ),
    (
        "@alice, does it stay out, or is the work by hand done?",
        (Choice(letter="y", says="so it is", action="stays_out", by=REQUESTER), _LEAVE),
    ),
)
"""By their first choice, whose button makes a message a question."""


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked in the terminal of a message with these buttons."""

    text: str
    choices: tuple[Choice, ...]

    @property
    def prompt(self) -> str:
        """The words, and below them the letters that count."""
        return f"{self.text}\n  {' · '.join(f'{one.letter}: {one.says}' for one in self.choices)} > "

    def chosen(self, typed: str) -> Choice | None:
        """What was chosen; None for anything but a letter that is shown, `yes` and `no`."""
        answer = typed.strip().lower()
        letter = {"yes": "y", "no": "n"}.get(answer, answer)
        return next((one for one in self.choices if one.letter == letter), None)


def question_of(actions: Collection[str]) -> Question | None:
    """What to ask of a message with these buttons; None where it waits for nobody."""
    for text, choices in _QUESTIONS:
        if choices[0].action in actions:
            return Question(text=text, choices=tuple(one for one in choices if not one.action or one.action in actions))
    return None


@dataclass(kw_only=True)
class Keyboard:
    """Lines from a terminal, waited for without a thread: one that reads would keep the program from ending."""

    descriptor: int
    _typed: bytearray = field(default_factory=bytearray)

    async def line(self) -> str | None:
        """The next line; None when there will be none."""
        loop = asyncio.get_running_loop()
        while b"\n" not in self._typed:
            ready = asyncio.Event()
            loop.add_reader(self.descriptor, ready.set)
            try:
                await ready.wait()
            finally:
                loop.remove_reader(self.descriptor)
            more = self._read()
            if not more:
                return None
            self._typed += more
        line, _, rest = bytes(self._typed).partition(b"\n")
        self._typed = bytearray(rest)
        return line.decode(errors="replace")

    def _read(self) -> bytes:
        try:
            return os.read(self.descriptor, 4096)
        except OSError:  # the terminal is gone
            return b""
