"""Every message of the thread fits Slack's limits, and no text of a host or a person gets out of its place."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.adapters.slack.messages.blocks import MessageBuilder, bare, marked
from bot.adapters.slack.messages.markup import SECTION, cut, escape, inline, pieces, prose
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.transitions import Status
from tests.build import SECOND, THIRD, Story
from tests.unit.messages import all_messages, fits, last, seen, strings
from tests.unit.stories import ALL, HOSTILE, command


def test_every_kind_of_fact_fits_slacks_limits() -> None:
    kinds = set()
    for story in [made() for made in ALL]:
        for _, message in all_messages(story.entries):
            fits(message)
            fits(marked(message, "Possibly a repeat."))
            fits(bare(message))
        kinds |= {type(entry.fact) for entry in story.entries}
    assert kinds == set(fact.Fact.__args__), "a kind of fact that no test renders"


def test_mentions_in_a_reason_stay_only_for_the_people_of_the_run() -> None:
    """A host's output must not call anybody; the bot's own sentences may name who approved."""
    story = Story().until("stop-lmtp").tell(fact.RunHeld(reason=f"<@{SECOND}> may not; a host said <@U0EVIL> <!here>"))
    said = seen(last(story))
    assert f"<@{SECOND}>" in said
    assert "<@U0EVIL>" not in said
    assert "<!here>" not in said


@pytest.mark.parametrize("step", ["stop-lmtp", "install-packages", "test-user-reads-mail"])
def test_a_hold_says_what_can_be_done_however_much_was_seen(step: str) -> None:
    """The bot's network is lost in a large ring: whoever is on duty reads this on a phone, and is to choose."""
    why = f"no SSH connection. It cannot be reached. What to do: {'see that it is up. ' * 10}"
    hosts = [f"director-{number:02d}.mail.eu-central-1.some-long-domain.example.net" for number in range(12)]
    looks = [replace(command(f"{host}: {why}", changes=False, status=None), host=host) for host in hosts]
    failed = fact.StepFailed(
        step=step,
        reason="; ".join(look.output for look in looks),
        ran=(command("E: it failed\n" * 400), *looks, *looks),
    )
    message = last(Story().until(step).tell(failed))
    fits(message)
    heads = ["*What was seen*", "Looked with", "*What it means*", "*What can be done*"]
    starts = [head for said in strings(message.blocks) for head in heads if said.startswith(head)]
    assert starts == heads
    assert message.blocks[-2]["text"]["text"].startswith("*What can be done*"), "right above its buttons"
    whole = message.files[-1].content
    assert sorted(heads, key=whole.index) == heads
    assert all(look.output[:-1] in whole for look in looks), "which the message is too small for"


def hostile(text: str) -> list[Entry]:
    """A run in which everything that a host or a person may have written is this text."""
    story = Story().until("stop-dovecot", on=Status.BUSY)
    told_by_host = (command(text, text=text), command(text, changes=False, text=text))
    story.tell(fact.StepUnclear(step="stop-dovecot", reason=text, ran=told_by_host))
    story.tell(fact.StepNotDone(step="stop-dovecot", reason=text, ran=told_by_host)).tell(*story.well())
    story.tell(fact.StepFailed(step="stop-dovecot", reason=text, ran=told_by_host))
    story.tell(fact.SkipProposed(by=THIRD, step="stop-dovecot", reason=text or "-"))
    story.tell(fact.RetryChosen(by=THIRD)).tell(*story.well())
    story.tell(fact.StepDone(step="stop-dovecot", how=fact.How.RAN, ran=told_by_host, reason=text, attachment=text))
    story.tell(fact.UsersCounted(users={text: 3})).tell(fact.RunHeld(reason=text))
    story.tell(fact.GoBackAsked(by=THIRD, reason=text))
    entries = list(story.entries)
    request = entries[0].fact
    assert isinstance(request, fact.RunRequested)
    entries[0] = replace(entries[0], fact=replace(request, text=text))
    return entries


def test_text_of_hosts_and_people_cannot_call_link_or_leave_its_code_block() -> None:
    for _, message in all_messages(hostile(HOSTILE)):
        fits(message)
        for said in (message.text, *strings(message.blocks)):
            assert "<!channel>" not in said
            assert "<@U0EVIL>" not in said
            assert "<https://evil" not in said
            assert "@here" not in said
            assert "\x1b" not in said
            assert "\u202e" not in said
            assert said.count("```") in {0, 2}, "a block of code that does not end where it should"


@settings(max_examples=settings().max_examples // 5, deadline=None)
@given(text=st.text(max_size=50), times=st.sampled_from([1, 40, 4_000]))
def test_however_long_the_output_the_message_fits(text: str, times: int) -> None:
    for _, message in all_messages(hostile(text * times)):
        fits(message)


@settings(deadline=None)
@given(st.text(alphabet=st.characters(), max_size=8_000))
def test_pieces_fit_a_section_each_and_lose_no_word(text: str) -> None:
    safe = escape(text)
    found = pieces(safe)
    assert all(0 < len(piece) <= SECTION for piece in found)
    assert "".join("".join(found).split()) == "".join(safe.split())


@settings(deadline=None)
@given(st.text(max_size=3_000), st.integers(min_value=2, max_value=900))
def test_what_is_cut_is_never_longer_and_never_half_an_escape(text: str, most: int) -> None:
    short = cut(text, most)
    assert len(short) <= most
    assert "&" not in short.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")


def test_a_paragraph_that_goes_on_in_another_section_is_never_cut_in_a_code_span() -> None:
    """What is left of a span would be markup, and the text between spans code."""
    for words in range(40, 90):
        for piece in pieces(" · ".join([inline("a b " * words), "and *so* on"] * 12)):
            assert len(piece) <= SECTION
            assert piece.count("`") % 2 == 0


def test_what_somebody_said_stands_in_its_line_or_long_in_a_block() -> None:
    for said, kind in (("x" * 500, "`x"), ("x y " * 400, "```\nx y")):
        builder = MessageBuilder("It was said.")
        builder.quote("*Seen*", said)
        assert kind in seen(builder.message()).replace("\\n", "\n")


def test_a_block_that_is_cut_off_where_slack_takes_no_blocks_is_closed_all_the_same() -> None:
    """Without its end Slack would show the lines of a host as lines of the bot's."""
    builder = MessageBuilder("Much was printed.")
    for _ in range(4):
        builder.code("*Printed*", ":x: *Failed*\n" * 60)
    plain = bare(builder.message())
    assert plain.text.count("```") % 2 == 0
    assert len(plain.text) <= 3_000


def test_a_code_span_stays_in_its_line() -> None:
    assert inline("a`b\n`c").count("`") == 2
    assert "\n" not in inline("a\nb")
    assert inline("") == "` `"


def test_times_addresses_and_names_stay_as_they_are_in_a_sentence() -> None:
    """People copy them."""
    for said in ("12:00:07 UTC", "2001:db8::1 and fe80::1:2", "192.0.2.1:9090", "mail_location, dovecot-core=1:2.3.19"):
        assert escape(said) == said


def test_of_a_sentence_about_damage_commands_alone_are_code() -> None:
    assert prose("It was *it*: `rm /a/*` and `` `", spans=True) == "It was ∗it∗: `rm /a/*` and ˋˋ ˋ"


def test_an_approvers_mention_survives_prose_and_a_strangers_does_not() -> None:
    assert prose("<@U1AA> and <@U2BB>", people=["U1AA"]) == "<@U1AA> and &lt;@U2BB&gt;"
    assert prose("<@U1AA> <!here>", people=None) == "<@U1AA> &lt;!here&gt;"


def test_what_does_not_fit_is_in_the_file_whole() -> None:
    builder = MessageBuilder("Much was said.")
    for number in range(60):
        builder.paragraph(f"paragraph {number} " + "x" * 400)
    message = builder.message(name="r-1-all.txt")
    fits(message)
    assert "paragraph 59" in message.files[0].content
    assert "r-1-all.txt" in seen(message)
