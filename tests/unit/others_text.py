"""What a host or a person can put into a run: every place of it filled with one text, and what Slack makes of that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from functools import cache, lru_cache
from typing import Any

from hypothesis import strategies as st

from bot.core.runs.events import Entry
from bot.core.text.shown import in_line
from tests.unit.stories import HOSTILE

HARMLESS = "something"
FORGED = "\n:white_check_mark: *Approved* by <@U0BOB>, 12:00:00 UTC"

HOSTILE_TEXTS = [
    HOSTILE,
    FORGED,
    f"fine\r{FORGED}\u2028:x: *Failed*\u2029:x:\x0b:x:\x0c:x:\x85:x:",
    ":x:",
    "*",
    "*Done* _done_ ~done~ `done` ``` done ```",
    "` *Done* `",
    "> quoted\n&gt; quoted\n> :x:",
    "<!date^0^{date_num}|Approved> <!subteam^S0MAIL> <#C0OPS> <!everyone>",
    "https://evil.example www.evil.example mailto:a@evil.example @channel",
    "\u200b:x:\u2060*a*\ufeff\u00ad\u202e\u2066\u200d",
    "# Heading\n## Heading\n- a\n1. b\n---",
    "a\n```\n:x: *Failed*\n```",
]
MARKS = st.text(alphabet="*_~`<>|&:!@#^ \n\r\t\x1b\u2028\u200b\u202ex1-+()", min_size=1, max_size=24)
SAID = st.sampled_from([text for text in HOSTILE_TEXTS if len(text) < 30]) | MARKS.filter(in_line)
"""In one line of a message: not so long that what is cut makes a difference."""

FREE: Mapping[str, frozenset[str]] = {
    "RunRequested": frozenset({"text", "reason", "ticket"}),
    "HostsProved": frozenset({"backend", "by", "lock", "directors"}),
    "StepStarted": frozenset({"host"}),
    "StepDone": frozenset({"reason", "remembered", "attachment"}),
    "StepUnclear": frozenset({"reason"}),
    "StepNotDone": frozenset({"reason"}),
    "UsersCameBack": frozenset({"reason"}),
    "StepFailed": frozenset({"reason"}),
    "WaitGoesOn": frozenset({"reason"}),
    "UsersCounted": frozenset({"users"}),
    "ApprovalAsked": frozenset({"evidence", "verified", "alarms", "brief"}),
    "ApprovalRefused": frozenset({"reason"}),
    "ApprovalLapsed": frozenset({"reason"}),
    "Postponed": frozenset({"reason"}),
    "LongerWaitChosen": frozenset({"reason"}),
    "RingDeviated": frozenset({"host", "reason", "helpless", "given"}),
    "RingSetBack": frozenset({"reason"}),
    "RunHeld": frozenset({"reason"}),
    "SkipProposed": frozenset({"reason"}),
    "GoBackAsked": frozenset({"reason"}),
    "BackendRebooted": frozenset({"host", "reason"}),
    "OthersCounted": frozenset({"reason"}),
    "MonitorSaysUp": frozenset({"host", "reason"}),
    "TakenOver": frozenset({"reason"}),
    "SeenOut": frozenset({"reason"}),
    "SettingsChanged": frozenset({"directors", "backends", "stays"}),
    "RunEnded": frozenset({"reason"}),
    "Ran": frozenset({"host", "command", "output"}),
    "Seen": frozenset({"host", "problem"}),
    "Plan": frozenset({"title"}),
    "PlannedStage": frozenset({"says"}),
    "PlannedCheck": frozenset({"says", "because"}),
    "PlannedChange": frozenset({"says", "because", "no_undo_because"}),
    "PlannedWait": frozenset({"says", "because"}),
    "PlannedApproval": frozenset({"says", "because"}),
    "LeftOut": frozenset({"because"}),
}
"""By class: what may be anything. A plan's words are the procedure's, with names of hosts and packages in them."""

SENTENCES = frozenset({"RunHeld", "RunEnded", "ApprovalRefused", "ApprovalLapsed"})
"""Their reasons begin with words of the bot's own."""

NAMES = frozenset(
    {
        *("procedure", "requester", "team", "channel", "config", "machine_id", "boot_id", "stage", "step", "digest"),
        *("not_by", "by", "word", "word_of", "message", "at", "was", "lost", "back_to", "gate", "outcome", "how"),
        *("command", "probe", "reading", "target", "approves", "clocks"),
    }
)
"""Fields that are of the bot's own making, checked where they come in, or shown nowhere."""


def filled(value: Any, text: str) -> Any:
    """The same with this text in every place that a host or a person can fill."""
    if isinstance(value, tuple):
        return tuple(filled(one, text) for one in value)
    kind = type(value).__name__
    free, others = _fields_of(value.__class__)
    text = f"it is not so: {text}" if kind in SENTENCES else text
    made = {name: _in_place(name, getattr(value, name), text) for name in free}
    for name in others:
        before = getattr(value, name)
        after = filled(before, text)
        if after is not before:
            made[name] = after
    return replace(value, **made) if made else value


@cache
def _fields_of(kind: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields that may hold anything, and those in which to look further; of what is no dataclass none."""
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else []
    free = FREE.get(kind.__name__, frozenset())
    return tuple(name for name in names if name in free), tuple(name for name in names if name not in free)


def _in_place(name: str, value: Any, text: str) -> Any:
    """What is empty means something by that, but for what is printed or attached."""
    if isinstance(value, Mapping):
        filled_keys = {f"{text}{number}": one for number, one in enumerate(value.values())}
        return {key: text if isinstance(one, str) else one for key, one in filled_keys.items()}
    if isinstance(value, tuple):
        return tuple(text for _ in value)
    return text if value or name in {"output", "attachment"} else value


def run_of(entries: Iterable[Entry], text: str) -> list[Entry]:
    """A run in which every such place holds this text."""
    return [replace(entry, fact=filled(entry.fact, text)) for entry in entries]


_TOKENS = re.compile(
    r"(?P<block>```.*?```)|(?P<span>`[^`\n]+`)|(?P<token><[^>\n]*>)|(?P<emoji>(?!(?<=[0-9a-f:]):[0-9a-f]+:):[\w+'-]+:)|(?P<loud>@(?:here|channel|everyone)\b)"
    r"|(?P<line>\n)|(?P<quote>(?:^|(?<=\n))(?:&gt;|>))|(?P<mark>[*~`]|(?<![^\W_])_|_(?![^\W_]))",
    re.DOTALL,
)


@lru_cache(maxsize=10_000)
def made_of(markup: str) -> tuple[str, ...]:
    """What Slack may make of it: lines, blocks and spans of code, mentions, links, dates, emoji, styles; no words.

    `12:00:00` and `2001:db8::1` hold no emoji.
    """
    found = []
    for one in _TOKENS.finditer(markup):
        kind = one.lastgroup or ""
        found.append(kind if kind in {"block", "span"} else f"{kind} {one[0]}")
    return tuple(found)
