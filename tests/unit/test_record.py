"""The change record as Markdown: every fact is told, with who, what and when, and no text gets out of its place."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from functools import cache, lru_cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from bot.core.decisions.damage import Release, examined
from bot.core.plans.plan import PlannedChange
from bot.core.plans.procedure import Gate
from bot.core.runs import events as fact
from bot.core.runs.events import Entry, Fact
from bot.core.runs.transitions import Status
from bot.core.text.shown import in_line
from bot.errors import Refused
from bot.record.markdown import markdown
from tests.build import NOON, REQUESTER, SECOND, Story, plan
from tests.examples import pairs
from tests.unit.others_text import HARMLESS, HOSTILE_TEXTS, SAID, run_of
from tests.unit.stories import ALL, aborted_in_the_drain, command, entries_of, turned_round

STORIES = pytest.mark.parametrize("made", ALL)
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def at(entry: Entry) -> str:
    return f"{entry.at:%Y-%m-%d %H:%M:%S} UTC"


@STORIES
def test_every_fact_is_told_with_its_number_and_time(made: Callable[[], Story]) -> None:
    """The thread may be gone one day; what is not in the record did not happen for whoever asks later."""
    story = made()
    record = markdown(story.entries)
    for entry in story.entries:
        if isinstance(entry.fact, fact.UsersCounted):
            counts = " | ".join(str(entry.fact.users[director]) for director in sorted(entry.fact.users))
            assert f"| {at(entry)} | {counts} |" in record
        else:
            assert f"### {entry.seq}. {at(entry)} " in record


def test_these_stories_have_every_kind_of_fact() -> None:
    kinds = {type(entry.fact) for made in ALL for entry in entries_of(made)}
    assert kinds == set(Fact.__args__)


@STORIES
def test_who_asked_who_approved_what_and_how_it_ended_stand_at_its_head(made: Callable[[], Story]) -> None:
    story = made()
    head = markdown(story.entries).partition("## What happened")[0]
    assert f"Asked for by: {REQUESTER} in channel C0OPS, {at(story.entries[0])}" in head
    for entry in story.entries:
        match entry.fact:
            case fact.Approved(gate=gate, by=by, message=""):
                assert f"- {at(entry)}: {gate} approved by {by}, by asking to go back (digest" in head
            case fact.Approved(gate=gate, by=by, message=message):
                assert f"- {at(entry)}: {gate} approved by {by} (message {message}, digest" in head
            case fact.Postponed(gate=gate, by=by):
                assert f"- {at(entry)}: {gate}: not now, said {by}" in head
                assert "the storage team" in head
            case fact.LongerWaitChosen(gate=gate, by=by):
                assert f"- {at(entry)}: {gate}: wait longer, said {by}" in head
            case fact.Denied(gate=gate, by=by):
                assert f"- {at(entry)}: {gate} denied by {by}" in head
            case fact.ApprovalRefused(gate=gate, by=by):
                assert f"- {at(entry)}: {gate}: an attempt by {by} did not count: " in head
            case fact.ApprovalExpired(gate=gate):
                assert f"- {at(entry)}: {gate} expired, nobody answered" in head
            case fact.SkipAgreed(step=step, by=by):
                assert f"- {at(entry)}: skipping {step} agreed by {by}" in head
    ended = f"- Ended: {story.run.outcome}, {at(story.entries[-1])}" if story.run.outcome else "- Ended: not yet"
    assert ended in head
    assert story.run.request.plan.digest in head


def test_the_reason_and_the_ticket_stand_at_its_head() -> None:
    record = markdown(Story().entries)
    assert "- Reason: `the security update of November`" in record
    assert "- Ticket: `OPS-4711`" in record


def test_what_is_not_part_of_the_run_is_said_with_the_reason() -> None:
    made = plan(config=False, packages=False)
    record = markdown(Story(made).entries)
    assert made.left_out
    for left in made.left_out:
        assert f"- Not part of this run: {left.step}, as {left.because}" in record


def test_commands_have_host_exit_status_length_and_output() -> None:
    story = Story().until("stop-lmtp", on=Status.BUSY)
    ran = (
        command("it said this\nand that", text="doveadm service stop lmtp", status=75),
        command("", text="systemctl show dovecot", changes=False),
        command("no end within 60 s", text="doveadm reload", status=None),
    )
    record = markdown(story.tell(fact.StepFailed(step="stop-lmtp", reason="it is not so", ran=ran)).entries)
    assert "- **backend-3**: `doveadm service stop lmtp`: exit 75, 400 ms" in record
    assert "```text\nit said this\nand that\n```" in record
    assert "- backend-3: `systemctl show dovecot`: exit 0, 400 ms" in record
    assert "- **backend-3**: `doveadm reload`: end not heard, 400 ms" in record


def test_the_way_back_is_shown_with_its_commands() -> None:
    story = turned_round()
    (turned,) = (entry.fact for entry in story.entries if isinstance(entry.fact, fact.TurnedBack))
    record = markdown(story.entries)
    for step in turned.plan.steps:
        if isinstance(step, PlannedChange):
            assert step.action.command.text in record


def section(story: Story, entry: Entry) -> str:
    return markdown(story.entries).split(f"### {entry.seq}. ")[1].split("\n### ")[0]


def test_what_was_approved_is_in_the_record_though_it_was_never_sent() -> None:
    """The digest alone tells no auditor what a second engineer has agreed to."""
    story = Story().until("approve-flush", on=Status.ASKING)
    asked = section(story, story.entries[-1])
    for step, covered in (("set-vhosts-to-zero", False), ("stop-dovecot", True), ("set-vhosts-back", False)):
        (change,) = [one for one in story.run.plan.changes if one.name == step]
        assert (f": `{change.action.command.text}`" in asked) is covered
    assert all(f"- Brings: `{line}`" in markdown(story.entries) for line in story.run.plan.brings)


@pytest.mark.parametrize(("order", "shown"), [("runbook", "Alarm"), ("move-first", "Shown")])
def test_the_order_of_the_take_down_is_in_the_record_as_it_was_shown_and_at_length(order: str, shown: str) -> None:
    """With what users were to feel in it: whoever asks later why logins failed finds who approved that."""
    story = Story(plan(move_first=order == "move-first")).until("drain", on=Status.WAITING)
    story.tell(fact.UsersCounted(users={"director-1": 12}))
    asked = section(story, story.until("approve-flush", on=Status.ASKING).entries[-1])
    lines = [line for line in asked.splitlines() if re.search(rf"[`(]order {order}\b", line)]
    assert [line.partition(":")[0] for line in lines] == [f"- {shown}", "- Evidence"]
    assert all("12 users" in line for line in lines)


def test_an_approval_that_is_asked_for_again_covers_what_is_left() -> None:
    story = Story().until("install-packages")
    story.tell(fact.ApprovalLapsed(gate=Gate.FLUSH, reason="it has expired", at="install-packages"))
    asked = section(story, story.until("install-packages", on=Status.ASKING).entries[-1])
    assert "- Covers: Install dovecot-core" in asked
    assert "systemctl stop dovecot" not in asked


def test_an_approval_given_by_asking_to_go_back_is_not_said_to_have_been_asked_for() -> None:
    record = markdown(entries_of(aborted_in_the_drain))
    assert f"The restore approval was given by {SECOND}, who asked to go back" in record
    assert "The restore approval was asked for" not in record


def test_a_ring_that_is_not_set_back_is_told_with_what_was_seen_too() -> None:
    """Which directors said what is the evidence for the call."""
    given, helpless = "director-1: vhosts is 100", "no other backend can be used"
    story = Story().until("stop-lmtp")
    story.tell(fact.RingDeviated(step="set-vhosts-to-zero", host="director-1", reason=given, helpless=helpless))
    record = markdown(story.entries)
    assert f"Not set back: `{helpless}`" in record
    assert f"Seen: `{given}`" in record


def test_a_director_that_did_not_answer_the_first_time_has_its_column_all_the_same() -> None:
    story = Story().until("drain", on=Status.WAITING)
    story.tell(fact.UsersCounted(users={"director-2": 9}), fact.UsersCounted(users={"director-1": 8, "director-2": 7}))
    record = markdown(story.entries)
    assert "| Time | director-1 | director-2 |" in record
    assert "UTC | ? | 9 |" in record
    assert "UTC | 8 | 7 |" in record


def test_damage_is_said_first_and_what_is_sound_is_told() -> None:
    story = Story().until("drain", on=Status.WAITING)
    record = markdown(story.entries, damage=examined("r2025a", story.entries, "fact 9 does not follow from fact 8."))
    assert record.index("fact 9 does not follow from fact 8.") < record.index("- Backend:")
    assert "The journal of this run is damaged." in record
    assert f"### {story.run.seq}. " in record
    assert "damaged" not in markdown(story.entries)


def test_of_nothing_there_is_no_record() -> None:
    with pytest.raises(Refused):
        markdown([])


# hostile text


def told_with(made: Callable[[], Story], text: str) -> str:
    """A record in which this stands wherever a host or a person can put something."""
    entries = run_of(entries_of(made), text)
    release = Release(run="r2025a", by=SECOND, at=NOON, reason=text)
    return markdown(entries, damage=examined("r2025a", entries, f"fact 99: {text}", release=release))


@lru_cache(maxsize=1)
def read(record: str) -> list[Token]:
    return READER.parse(record)


def structure(record: str) -> list[str]:
    """What a reader of Markdown makes of it, blocks and marked-up words; a name may be code, where it is no name."""
    plain = {"text", "text_special", "code_inline"}
    found = []
    for token in read(record):
        found.append(token.type)
        found += [child.type for child in token.children or () if child.type not in plain]
    return found


def words(record: str) -> str:
    """All of it that is not code."""
    tokens = [child for token in read(record) for child in token.children or ()]
    return "\n".join(token.content for token in tokens if token.type in {"text", "text_special"})


@cache
def harmless(made: Callable[[], Story]) -> list[str]:
    return structure(told_with(made, HARMLESS))


@settings(deadline=timedelta(seconds=5))
@given(text=(SAID | st.text(min_size=1, max_size=80)).filter(in_line), made=st.sampled_from(ALL))
def test_no_text_of_a_host_or_a_person_becomes_markdown(text: str, made: Callable[[], Story]) -> None:
    """Whatever is printed or typed, the record has the structure that it has with a harmless word in its place."""
    assert structure(told_with(made, text)) == harmless(made)


FORGING = [
    *HOSTILE_TEXTS,
    "# Approved by U0BOB",
    "- 2026-03-01 12:00:00 UTC: restore approved by U0BOB",
    "1. restore approved",
    "```\n\n## Approvals\n```",
    "~~~\nnothing after this is seen",
    "| a | b |\n|---|---|\n| 1 | 2 |",
    "![x](https://evil.example/x.png) [click](https://evil.example)",
    "text\n===",
    "    code",
    "<script>alert(1)</script>",
    "&#35; heading",
    "`",
    "``` `` `",
]


@pytest.mark.parametrize(("made", "text"), pairs(ALL, FORGING))
def test_text_that_would_forge_an_approval_or_hide_the_rest_stays_text(made: Callable[[], Story], text: str) -> None:
    record = told_with(made, text)
    assert structure(record) == harmless(made)
    shown = words(record)
    assert re.search(r"[\x00-\x08\x0b-\x1f\x7f\u200b\u202e]", record) is None
    for forged in ("evil.example", ":x:", ":white_check_mark:", "@channel"):
        assert forged not in shown, "readers make links and emoji of what is not code"
