"""No text of a host or a person looks like the bot's own, wherever it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import timedelta
from functools import cache
from itertools import product
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.__main__ import _print_plan
from bot.adapters.slack.inbound.answers import Asker, note
from bot.adapters.slack.inbound.clicks import Click
from bot.adapters.slack.inbound.forms import form
from bot.adapters.slack.messages import blocks
from bot.adapters.slack.messages.blocks import Message
from bot.adapters.slack.messages.plans import dry_run, plan_text
from bot.adapters.slack.messages.root import run_list
from bot.adapters.slack.thread.damage import beside_an_answer, damaged
from bot.core.decisions.damage import Damaged, Release, examined
from bot.core.plans.dryrun import DryRun
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Fact, Ran, Seen
from bot.core.runs.fold import fold
from bot.core.runs.run import Run
from bot.practice.slack.workspace import Message as Posted
from bot.practice.terminal import shown
from tests.build import NOON, SECOND, Story, plan, target
from tests.examples import pairs
from tests.unit.messages import GROUP, all_messages
from tests.unit.others_text import FORGED, FREE, HARMLESS, HOSTILE_TEXTS, NAMES, SAID, filled, made_of, run_of
from tests.unit.stories import ALL, entries_of, turned_round


@pytest.fixture(autouse=True)
def _room_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """What did not fit would be compared with what did."""
    monkeypatch.setattr(blocks, "_ROOM", 10**6)
    monkeypatch.setattr(blocks, "_BLOCKS", 10**4)


def structure(message: Message) -> list[object]:
    """What Slack makes of a message, without its words; a plain text is one line and nothing else."""
    found: list[object] = [made_of(message.text)]
    for block in message.blocks:
        texts = [block.get("text"), *block.get("elements", ())]
        for text in texts:
            if text and text["type"] == "mrkdwn":
                found.append(made_of(text["text"]))
            elif text and text["type"] == "plain_text":
                found.append(text["text"].count("\n"))
    return found


@cache
def filled_run(made: Callable[[], Story], text: str) -> list[Entry]:
    """A run with this text wherever a host or a person can put one."""
    return run_of(entries_of(made), text)


@cache
def said_in(made: Callable[[], Story], text: str) -> list[tuple[Entry, Message]]:
    return all_messages(filled_run(made, text))


@dataclass(frozen=True, kw_only=True)
class Told:
    """What Slack makes of each message of a run, and how many lines of each of its files are not set in."""

    structures: list[list[object]]
    own_lines: list[int]


@cache
def told(made: Callable[[], Story], text: str) -> Told:
    """Of its files all but what a step attaches."""
    structures, files = [], []
    for entry, message in said_in(made, text):
        structures.append(structure(message))
        of_host = f"-{entry.fact.step}.txt" if isinstance(entry.fact, fact.StepDone) else ""
        files += [file for file in message.files if not of_host or not file.name.endswith(of_host)]
    own_lines = [sum(not line.startswith("    ") for line in file.content.split("\n")) for file in files]
    return Told(structures=structures, own_lines=own_lines)


def assert_inert(made: Callable[[], Story], text: str) -> None:
    for seen, expected in zip(told(made, text).structures, told(made, HARMLESS).structures, strict=True):
        assert seen == expected


def test_every_text_of_every_fact_is_known_for_free_or_for_a_name() -> None:
    """Whoever adds a field has to say which it is; then the tests below try it."""
    for kind in (*Fact.__args__, Ran, Seen):
        hints = get_type_hints(kind)
        texts = {field.name for field in fields(kind) if "str" in str(hints[field.name])}
        assert texts - FREE.get(kind.__name__, frozenset()) <= NAMES, kind.__name__


@pytest.mark.parametrize(
    ("made", "text"), dict.fromkeys([*product(ALL, HOSTILE_TEXTS[:1]), *pairs(ALL, HOSTILE_TEXTS)])
)
def test_no_text_in_any_fact_becomes_a_line_a_mention_a_link_a_sign_or_a_style(
    made: Callable[[], Story], text: str
) -> None:
    """The thread has, line for line, what it has with a harmless word in its place."""
    assert_inert(made, text)


@settings(deadline=timedelta(seconds=10))
@given(text=SAID, which=st.sampled_from(ALL))
def test_whatever_is_printed_or_typed_stays_in_its_place(text: str, which: Callable[[], Story]) -> None:
    assert_inert(which, text)


_FORGED = re.compile(r"(?::white_check_mark:|✅) \*?Approved\*? by \S+, |(?::x:|❌) \*?Failed\*?(?::|$)")
"""As they were typed, or as Slack would show them."""


def test_in_a_terminal_it_moves_no_cursor_and_is_no_line_of_the_bots_own() -> None:
    """What is shown by `dovecot-bot try`; a line that goes on in the next one goes on set in."""
    different: dict[str, dict[str, Any]] = {}
    for text in HOSTILE_TEXTS:
        for _, message in said_in(turned_round, text):
            assert message.blocks, "its text would be shown"
            # Those that differ in their numbers alone are shown once.
            different |= {re.sub(r"\d+", "0", json.dumps(block)): block for block in message.blocks}
    posted = Posted(channel="C0OPS", user="U0BOT", ts="1.1", text="", blocks=list(different.values()))
    lines = shown(posted, {SECOND: "bob"}).split("\n")
    assert all(line.isprintable() for line in lines)
    assert not [line for line in lines if _FORGED.match(line)]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_plan_in_a_terminal_has_the_lines_of_a_harmless_one(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    printed = []
    for said in (text, HARMLESS):
        checks = tuple((said, holds, said) for holds in (True, False, None))
        _print_plan(DryRun(plan=filled(plan(), said), target=target(), checks=checks, later=(said,)))
        printed.append(capsys.readouterr().out.split("\n"))
    assert all(line.isprintable() for line in printed[0])
    assert len(printed[0]) == len(printed[1])


# beside the thread


def told_damaged(text: str) -> list[Damaged]:
    entries = run_of(Story().until("stop-lmtp").entries, text)
    held = examined("r2025a", entries, f"fact 99: {text}", rings=("main",))
    gone = examined("r2025a", (), f"fact 1: {text}", rings=("main",))
    release = Release(run="r2025a", by=SECOND, at=NOON, reason=text)
    let_go, read_again = (examined("r2025a", entries, flaw, release=release) for flaw in (text, ""))
    return [found for found in (held, gone, let_go, read_again) if found]


def opened(run: Run, action: str) -> Message:
    """What a form shows before it asks for a reason."""
    click = Click(action=action, value=f"{run.id}:1", user=SECOND, message="1.1")
    view = form(click, Asker(user=SECOND, channel="C0OPS"), run)
    return Message(text="-", blocks=tuple(block for block in view["blocks"] if block["type"] != "input"))


def beside_the_thread(text: str) -> list[Message]:
    checks = tuple((text, holds, text) for holds in (True, False, None))
    runs = [run for made in ALL if (run := fold(filled_run(made, text)))]
    found = told_damaged(text)
    return [
        *dry_run(DryRun(plan=filled(plan(), text), target=target(), checks=checks, later=(text,))),
        run_list(runs, {}, title="All runs"),
        *(opened(run, action) for run in runs for action in ("go_back", "not_now")),
        *(damaged(one, approvers=GROUP, link="https://x.slack.com/archives/C0OPS/p1") for one in found),
    ]


@cache
def structures_beside_the_thread(text: str) -> list[list[object]]:
    return [structure(message) for message in beside_the_thread(text)]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_nor_does_it_in_a_plan_a_list_an_answer_or_what_is_said_of_damage(text: str) -> None:
    for seen, meant in zip(structures_beside_the_thread(text), structures_beside_the_thread(HARMLESS), strict=True):
        assert seen == meant


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_an_answer_to_one_person_has_signs_styles_and_links_of_the_bots_alone(text: str) -> None:
    """Its lines, commands and mentions are the bot's, too; but nobody else sees it, so a mention calls nobody."""
    message = note(f"It does not count: {text}. https://evil.slack.com/archives/C1/p1, says {text}.")
    (said,) = [block["text"]["text"] for block in message.blocks]
    assert called_out(said) == ["emoji :information_source:"]
    for found in told_damaged(text):
        assert not any(called_out(block["text"]["text"]) for block in beside_an_answer(found).blocks)


def called_out(markup: str) -> list[str]:
    seldom = {"emoji", "mark", "quote", "block", "loud", "token"}
    return [one for one in made_of(markup) if one.partition(" ")[0] in seldom and not one.startswith("token <@")]


@pytest.mark.parametrize("text", HOSTILE_TEXTS)
def test_a_plan_in_a_file_has_the_lines_of_a_harmless_one(text: str) -> None:
    said = plan_text(filled(plan(), text), target())
    assert said.count("\n") == plan_text(filled(plan(), HARMLESS), target()).count("\n")


@pytest.mark.parametrize(("made", "text"), pairs(ALL, [*HOSTILE_TEXTS, FORGED * 40]))
def test_in_a_file_of_the_thread_what_was_printed_or_typed_is_set_in(made: Callable[[], Story], text: str) -> None:
    """A file has no code blocks."""
    assert told(made, text).own_lines == told(made, re.sub(r"[^\s<>&]", "x", text)).own_lines
