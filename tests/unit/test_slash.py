"""What people type behind the slash command: read as text, each slip told with what would be right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.adapters.slack.messages.markup import unescaped
from bot.adapters.slack.messages.plans import BEGINNING
from bot.core.plans.proposal import Asked, PackageChange, as_typed, read_request
from bot.core.text.meant import near
from bot.core.text.redact import redact_in_words
from bot.core.text.shown import in_line
from bot.errors import Refused

WORDS = ("help", "plan", "status", "list", "abort", "repost", "release", "backend-1", "backend-2", "backend-3")


def read(options: str) -> Asked:
    return read_request(f"backend-3 {options}")


def refused(options: str) -> str:
    with pytest.raises(Refused) as told:
        read(options)
    return redact_in_words(str(told.value))


# keep, and a restart


def test_nothing_typed_and_keep_are_told_apart() -> None:
    """The bare command upgrades: who wants packages to stay has to be able to say so."""
    bare, keeping = read(""), read("config=keep packages=keep")
    assert (bare.keeps_config, bare.keeps_packages, bare.config, bare.packages) == (False, False, None, ())
    assert (keeping.keeps_config, keeping.keeps_packages, keeping.config, keeping.packages) == (True, True, None, ())


def test_one_may_stay_while_the_other_is_named() -> None:
    asked = read("packages=keep config=spring")
    assert (asked.config, asked.keeps_config, asked.keeps_packages) == ("spring", False, True)
    asked = read("packages=dovecot-core=2 config=keep")
    assert (asked.packages, asked.keeps_config) == ((PackageChange(name="dovecot-core", version="2"),), True)


@pytest.mark.parametrize("options", ["restart=yes", "restart=yes packages=keep", "config=keep restart=yes"])
def test_a_restart_leaves_both_as_they_are(options: str) -> None:
    asked = read(options)
    assert (asked.restart, asked.keeps_config, asked.keeps_packages) == (True, True, True)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("restart=yes config=spring", "restart=yes changes neither"),
        ("packages=dovecot-core=2 restart=yes", "restart=yes changes neither"),
        ("restart=no", "takes nothing but yes"),
        ("restart", "restart needs its value right behind it: restart=yes"),
        ("keep", "is not understood"),
        ("config = spring", "config needs its value right behind it"),
        ("Config=spring", "Did you mean config=NAME or config=keep?"),
        ("packges=keep", "Did you mean packages=NAME=VERSION,… or packages=keep?"),
        ("reasn=x", 'Did you mean reason="…"?'),
        ("force=yes", '[restart=yes] [reason="…"] [ticket=…]'),
        ("reason=a reason=b", "reason is given twice"),
    ],
)
def test_a_slip_in_an_option_is_told_with_what_would_be_right(options: str, told: str) -> None:
    assert told in refused(options)


# reason and ticket


@pytest.mark.parametrize(
    "quoted",
    [
        '"the November update, don\'t wait"',
        "“the November update, don't wait”",
        "”the November update, don't wait”",
        "„the November update, don't wait“",
        "«the November update, don't wait»",
        "»the November update, don't wait«",
        "'the November update, don't wait'",
        "‘the November update, don't wait’",
        "‚the November update, don't wait‘",
    ],
)
def test_a_reason_stands_in_the_quotes_of_any_keyboard(quoted: str) -> None:
    asked = read(f"reason={quoted} ticket=OPS-4711 config=spring")
    assert (asked.reason, asked.ticket, asked.config) == ("the November update, don't wait", "OPS-4711", "spring")


@pytest.mark.parametrize("options", ["reason=upgrade ticket=“OPS-4711”", 'ticket=OPS-4711   reason="upgrade"'])
def test_one_word_needs_no_quotes_and_the_order_is_free(options: str) -> None:
    asked = read(options)
    assert (asked.reason, asked.ticket) == ("upgrade", "OPS-4711")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ('reason="the November update', 'The quote behind reason is not closed: reason="…"'),
        ("ticket=“OPS-4711 config=spring", "The quote behind ticket is not closed: ticket=…"),
        ("reason=the November update", 'Several words stand in quotes: reason="…"'),
        ("reason=", 'reason needs its value right behind it: reason="…"'),
        ('reason=""', 'reason needs its value right behind it: reason="…"'),
        ("reason=“\u200b”", "holds nothing that can be read"),
        (f'reason="{"x" * 301}"', "reason has 301 characters; 300 at most"),
        (f"ticket={'x' * 81}", "ticket has 81 characters; 80 at most"),
        ("ticket OPS-4711", "ticket needs its value right behind it: ticket=…"),
        ("reason=xoxb-1234567-abcdef", "looks like a token"),
    ],
)
def test_a_reason_that_cannot_be_kept_is_told_with_how_it_is_typed(options: str, told: str) -> None:
    assert told in refused(options)


def test_a_reason_is_one_line_without_what_nobody_sees_and_without_secrets() -> None:
    asked = read('reason="one\r\nline\u202e\x1b\u200b, password=hush"')
    assert asked.reason == "one line, password=(hidden)"


def test_what_was_typed_is_kept_without_the_reason_which_stands_beside_it() -> None:
    """Else what is hidden in the one would stand in the other."""
    asked = read('  reason="a b"   config=keep ticket=1 restart=yes')
    assert asked.text == "backend-3 config=keep restart=yes"


INSIDE = st.text(alphabet=st.characters(exclude_characters='"”'), max_size=60) | st.sampled_from(
    ["config=spring restart=yes", "packages=keep\nrestart=yes", "“ config=spring", "' restart=yes '"]
)


@given(INSIDE, INSIDE)
def test_whatever_stands_in_a_reason_changes_nothing_else(reason: str, ticket: str) -> None:
    try:
        asked = read(f'config=keep reason="{reason}" ticket="{ticket}"')
    except Refused:
        return
    assert asked == replace(read("config=keep"), reason=asked.reason, ticket=asked.ticket)
    assert all(len(text.splitlines()) <= 1 for text in (asked.reason, asked.ticket))


# near misses


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("stauts", "status"),
        ("Stat", "status"),
        ("lsit", "list"),
        ("hlep", "help"),
        ("paln", "plan"),
        ("abrot", "abort"),
        ("backnd-3", "backend-3"),
        ("Backend-3", "backend-3"),
        ("backend3", "backend-3"),
        ("backend-03", "backend-3"),
        ("backend_2", "backend-2"),
    ],
)
def test_a_near_miss_has_a_suggestion(typed: str, meant: str) -> None:
    assert near(typed, WORDS) == meant


@pytest.mark.parametrize("typed", ["backend-9", "backend-33", "backend", "please", "all", "upgrade", "", "x" * 100_000])
def test_what_is_no_near_miss_has_none(typed: str) -> None:
    """backend-9 is another host: to suggest backend-3 for it would be to suggest the wrong one."""
    assert near(typed, WORDS) == ""


def test_the_lines_that_help_shows_are_read_as_they_stand() -> None:
    """A command that help shows and the bot refuses would be the worst of suggestions."""
    for line in BEGINNING:
        shown, _, _ = line.partition("   ")
        typed = shown.replace("NAME=VERSION,…", "dovecot-core=2").replace("config=NAME", "config=spring")
        assert read_request(typed).backend == "backend-3"
    assert len(BEGINNING) == 5


def test_the_readme_says_the_same_five_lines() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    for line in BEGINNING:
        assert f"    /dovecot-upgrade {line}\n" in readme


SAID = st.text(alphabet="ab \t=,-\"“”'’", max_size=40)


@given(reason=SAID, ticket=SAID)
def test_what_a_form_was_filled_in_with_is_read_as_it_stood(reason: str, ticket: str) -> None:
    """Quotes of every kind too, as long as one kind is left to stand around it."""
    asked = read_request(f"backend-3 {as_typed('reason', reason)} {as_typed('ticket', ticket)}")
    assert (asked.backend, asked.reason, asked.ticket) == ("backend-3", in_line(reason), in_line(ticket))


def test_where_no_quote_is_left_the_plain_ones_are_dropped() -> None:
    every = "\"“”„«»'‘’‚ all"
    assert read_request(f"backend-3 {as_typed('reason', every)}").reason.endswith("all")


def test_what_slack_writes_in_a_way_of_its_own_is_read_as_it_was_typed() -> None:
    assert unescaped("reason=&quot;a &amp; b&quot; &lt;c&gt; &amp;lt;") == "reason=&quot;a & b&quot; <c> &lt;"
