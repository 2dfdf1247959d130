"""What `deploy/try` shows is what Slack shows: marks rendered, 80 columns, and nothing that a terminal would obey."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from unicodedata import category, east_asian_width

import pytest

from bot.practice.slack.workspace import Ephemeral, Message, SharedFile, View
from bot.practice.terminal import printable, shown
from tests.unit.golden import FOLDER
from tests.unit.messages import as_read

NAMES = {"U0BOB": "bob", "S0MAIL": "mail-engineers", "C0OPS": "mail-ops"}
ATTACK = "\x1b]0;x\x07\x1b[2J\x1b[31m\r\x9b2J\x00\x08\u202e\u2028evil"
GOLDEN = [
    message["blocks"]
    for name in ("whole", "others")
    for message in json.loads((FOLDER / f"{name}.json").read_text())
    if message["blocks"]
]


def posted(*blocks: dict[str, object], text: str = "", files: tuple[SharedFile, ...] = ()) -> Message:
    return Message(channel="C0OPS", ts="1.1", user="U0BOT", text=text, blocks=list(blocks), files=files)


def mrkdwn(text: str) -> dict[str, object]:
    return {"type": "mrkdwn", "text": text}


def plain(text: str) -> dict[str, object]:
    return {"type": "plain_text", "text": text}


def section(text: str) -> Message:
    return posted({"type": "section", "text": mrkdwn(text)})


def columns(line: str) -> int:
    return sum(0 if category(char) == "Mn" else 2 if east_asian_width(char) in "WF" else 1 for char in line)


@pytest.fixture
def _an_hour_ahead(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The zone of a process is its environment's; nothing else says how a reader's clock goes."""
    monkeypatch.setenv("TZ", "XXX-1")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("markup", "read"),
    [
        ("*bold* and _slanted_, ~gone~: *Stage 3*·", "bold and slanted, gone: Stage 3·"),
        ("2*3*4 snake_case_name a ~ b * c", "2*3*4 snake_case_name a ~ b * c"),
        ("*by <@U0BOB>*, <@U0EVE>, <!subteam^S0MAIL>, <!here>", "by @bob, @U0EVE, @mail-engineers, @here"),
        ("<#C0OPS> <#C0X|random>", "#mail-ops #random"),
        ("<https://a.example/b|thread> <https://a.example>", "thread (https://a.example/b) https://a.example"),
        ("`*not bold* &lt;@U0BOB&gt; :x:` &amp;lt;", "`*not bold* <@U0BOB> :x:` &lt;"),
        (":white_check_mark: *Done* :no_such_sign: 07:18:31", "✅ Done :no_such_sign: 07:18:31"),
        ("&gt; said\nnot", "▌ said\nnot"),
        ("its command\n```\n$ a *b* &amp;&amp;\n  c\n```\nafter", "its command\n    $ a *b* &&\n      c\nafter"),
        ("one ``` two", "one ``` two"),
        ("<!date^99999999999999^{time}|12:00 UTC> <!date^1^{what}|1970>", "12:00 UTC 1970"),
        ("• one\n\n• two", "• one\n\n• two"),
    ],
)
def test_marks_are_shown_as_slack_shows_them(markup: str, read: str) -> None:
    assert shown(section(markup), NAMES) == read


@pytest.mark.usefixtures("_an_hour_ahead")
def test_a_time_is_the_readers_own() -> None:
    made = section("02:46:31 UTC (<!date^1795833991^{date_num} {time_secs}|02:46:31 UTC>)")
    assert shown(made, NAMES) == "02:46:31 UTC (2026-11-28 03:46:31)"


def test_every_kind_of_block_is_shown() -> None:
    made = posted(
        {"type": "header", "text": plain("Up *b*")},
        {"type": "section", "fields": [mrkdwn("*State*"), plain("*up*")]},
        {"type": "context", "elements": [mrkdwn("*Run* `r1`"), plain("x")]},
        {
            "type": "actions",
            "elements": [
                {"type": "button", "text": plain("Approve…"), "action_id": "approve"},
                {"type": "overflow", "options": [{"text": plain("Go back…"), "value": "go_back:r1:1"}]},
            ],
        },
        {"type": "table", "rows": []},
    )
    assert shown(made, NAMES, width=20).split("\n") == [
        "━━ Up *b*",
        "State",
        "*up*",
        "Run `r1`  x",
        "[Approve…] [⋯]",
        "[a block of the kind",
        "  table]",
    ]


def test_every_text_of_the_bot_is_read_whole_and_without_marks_in_eighty_columns() -> None:
    for blocks in GOLDEN:
        read = shown(posted(*blocks), {})
        assert all(columns(line) <= 80 and line.isprintable() for line in read.split("\n"))
        outside = re.sub(r"`[^`]*`", "", re.sub(r"(?m)^ {4}.*$", "", read))
        assert "&lt;" in json.dumps(blocks) or "<" not in outside
        assert not re.search(r"\|>|\*\w[^*\n]*\*|(?<![0-9a-f]):[a-z_]+:|a block of the kind|&[a-z]+;", outside)


def words(text: str) -> str:
    """Without what lies between them."""
    return "".join(re.findall(r"[A-Za-z0-9]+", text))


def test_no_word_of_the_bot_is_lost() -> None:
    """Held against the other reading of the same texts, which wraps nothing."""
    for blocks in json.loads(re.sub(r"<!date[^|]*\|([^>]*)>", r"\1", json.dumps(GOLDEN))):
        parts = [part for block in blocks for part in (block.get("text"), *block.get("elements", ())) if part]
        texts = [
            part["text"] if isinstance(part.get("text"), str) else part.get("text", {}).get("text", "")
            for part in parts
        ]
        said = re.sub(r":[a-z_]{1,40}:(?= )", "", as_read("\n".join(texts)))
        assert words(shown(posted(*blocks), {})) == words(said)


def test_every_sign_of_the_bot_has_a_character() -> None:
    """One that was not known would be shown by its name."""
    sources = Path("bot/adapters/slack").rglob("*.py")
    signs = {sign for path in sources for sign in re.findall(r"[\"' ](:[a-z_]{1,40}:)", path.read_text())}
    assert {":warning:", ":x:"} <= signs
    for sign in signs:
        assert shown(section(sign), NAMES) != sign


@pytest.mark.parametrize("styles", [True, False])
def test_nothing_that_was_said_reaches_the_terminal_as_a_control(styles: bool) -> None:
    """Wherever it stands, and though the bot has its own care: the bot may be what is tried."""
    file = SharedFile(id="F1", name=ATTACK, title=ATTACK, content=b"", channel=None, thread_ts=None)
    marks = f"*{ATTACK}* `{ATTACK}` <@{ATTACK}> <https://a|{ATTACK}> <!date^1^{ATTACK}|{ATTACK}>\n```\n{ATTACK}\n```"
    elements = [{"type": "button", "text": plain(ATTACK)}, {"type": "static_select", "placeholder": plain(ATTACK)}]
    blocks: list[dict[str, object]] = [
        {"type": "header", "text": plain(ATTACK)},
        {"type": "section", "text": mrkdwn(marks), "fields": [mrkdwn(marks), plain(ATTACK)], "accessory": elements[0]},
        {"type": "context", "elements": [mrkdwn(marks), {"type": "image", "alt_text": ATTACK}]},
        {"type": "actions", "elements": elements},
        {"type": "input", "label": plain(ATTACK), "element": {"type": "plain_text_input", "initial_value": ATTACK}},
        {"type": ATTACK},
    ]
    view = View(
        id="V1", user="U0BOB", body={"title": plain(ATTACK), "blocks": blocks, "submit": plain(ATTACK)}, hash=""
    )
    private = Ephemeral(channel="C0OPS", user="U0BOB", ts="1.1", text=marks, via="ack")
    for what in (posted(*blocks, files=(file,)), posted(text=marks), view, private):
        read = shown(what, {"U0BOB": ATTACK, ATTACK: ATTACK}, styles=styles)
        without = re.sub(r"\x1b\[(?:[1239]|36|0)m", "", read) if styles else read
        assert all(line.isprintable() for line in without.split("\n"))
        assert "evil" in without
    assert printable(ATTACK) == "]0;x[2J[31m 2J evil"


def test_a_terminal_has_styles_and_the_rest_has_not() -> None:
    """Without them a code span keeps its marks: something has to say where somebody's text ends."""
    made = section("*Reason* `CVE fix`")
    assert shown(made, NAMES) == "Reason `CVE fix`"
    assert shown(made, NAMES, styles=True) == "\x1b[1mReason\x1b[0m \x1b[36mCVE fix\x1b[0m"


@pytest.mark.parametrize("text", ["x" * 200, "漢字" * 60, "e\u0301 " * 100, "word " * 50, "    " * 60, "a" + " " * 200])
def test_what_does_not_fit_goes_on_in_the_next_line_and_none_of_it_is_lost(text: str) -> None:
    for made in (section(text), section(f"```\n{text}\n```")):
        read = shown(made, NAMES)
        assert all(columns(line) <= 80 for line in read.split("\n"))
        assert re.sub(r"\s", "", read) == re.sub(r"\s", "", text)
        assert all(line.startswith("  ") for line in read.split("\n")[1:])
