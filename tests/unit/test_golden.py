"""The texts of the thread are those that somebody has read; and they fit Slack with the worst that can be in them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache
from itertools import product

import pytest

from bot.core.hosts.inventory import Target
from bot.core.plans.fill import make_plan
from bot.core.plans.plan import Plan
from bot.core.plans.proposal import PackageChange
from bot.core.runs import events as fact
from bot.core.runs.events import Entry
from bot.core.runs.fold import fold
from bot.core.runs.transitions import Status
from tests.build import Story, library, order, plan, target
from tests.unit.golden import files
from tests.unit.messages import GROUP, all_messages, as_read, fits, markup, places, seen
from tests.unit.others_text import run_of
from tests.unit.stories import ALL, command, entries_of, happy, moved_first

NAME = "x" * 80
WORST = [
    "<!channel> \u202eשלום \u2066 <@U0EVIL> @here 😀 :x: `code` *bold* & <b>",
    f"backend-3: {NAME} is {NAME}, expected none; " * 60,
]
"""In every place that a host or a person can fill: what looks like the bot's, and much in a line."""

PRINTED = "".join(f"-{NAME} = {number}\n+{NAME} = <!channel>\n" for number in range(1_000))
"""Two thousand lines, where a command prints them."""


def test_the_texts_are_those_of_the_golden_files() -> None:
    """`python -m tests.unit.golden` writes them anew; what changed there is to be read."""
    for path, text in files().items():
        assert path.read_text() == text, path.name


@cache
def worst_target() -> Target:
    """Two hundred backends and forty directors with long names."""
    made = target()
    ring = made.ring
    backends = [ring.backends[0].model_copy(update={"name": f"{NAME}{number}"}) for number in range(200)]
    directors = [ring.directors[0].model_copy(update={"name": f"{NAME}{number}"}) for number in range(40)]
    name = made.backend.model_copy(update={"name": NAME})
    ring = ring.model_copy(update={"backends": tuple(backends), "directors": tuple(directors)})
    return made.model_copy(update={"ring": ring, "backend": name})


@cache
def worst_plan(*, move_first: bool) -> Plan:
    """Twenty packages with long names."""
    packages = tuple(
        PackageChange(name=f"{NAME[2:]}{number:02}", version="1:2.3.19.1-2", before="1:2.3.19.1-1")
        for number in range(20)
    )
    return make_plan(library().procedures[0], replace(order(move_first=move_first), packages=packages))


def at_worst(made: Callable[[], Story]) -> Iterable[Entry]:
    """The run on that ring, with these packages."""
    first, *others = entries_of(made)
    assert isinstance(first.fact, fact.RunRequested)
    worst = worst_plan(move_first=made is moved_first)
    assert [step.name for step in worst.steps] == [step.name for step in first.fact.plan.steps]
    yield replace(first, fact=replace(first.fact, target=worst_target(), plan=worst))
    yield from others


@pytest.mark.parametrize(("made", "text"), list(product(ALL, WORST)))
def test_every_message_fits_slack_with_the_worst_in_it(made: Callable[[], Story], text: str) -> None:
    for _, message in all_messages(run_of(at_worst(made), text)):
        fits(message)
        assert not any("<!channel>" in part or "<@U0EVIL>" in part for part in (message.text, *markup(message.blocks)))


def test_the_dialog_behind_approve_names_all_that_begins_whatever_the_backend_is_called() -> None:
    """Slack cuts nothing: what does not fit is ours to leave out, and what begins is not."""
    (asked, *_) = (
        message for entry, message in all_messages(list(at_worst(happy))) if isinstance(entry.fact, fact.ApprovalAsked)
    )
    (text,) = re.findall(r'"Begins at once on [^"]*"', json.dumps(asked.blocks, ensure_ascii=False))
    assert text.endswith(', starts dovecot."')


def said_of(*, well: bool) -> list[str]:
    """What is said of the installation of these packages, each text as it reads, once it has printed all that."""
    told = list(at_worst(happy))
    at = next(at for at, one in enumerate(told) if getattr(one.fact, "step", "") == "install-packages")
    (text,) = [
        one.action.command.text for one in worst_plan(move_first=False).changes if one.name == "install-packages"
    ]
    ran = (command(PRINTED, status=0 if well else 1, text=text),)
    done = fact.StepDone(step="install-packages", how=fact.How.RAN, reason=PRINTED, ran=ran, attachment=PRINTED)
    failed = fact.StepFailed(step="install-packages", reason=PRINTED, ran=ran)
    told[at + 1] = replace(told[at + 1], fact=done if well else failed)
    said = next(message for entry, message in all_messages(told[: at + 2]) if entry == told[at + 1])
    fits(said)
    return [as_read(part) for part in markup(said.blocks)]


def test_of_what_went_well_the_command_is_shown_and_no_more_than_three_hundred_characters_of_it() -> None:
    """The record has all of it, and what it printed."""
    (shown,) = [part for part in said_of(well=True) if "$ " in part]
    assert shown.startswith("```\n$ sh -c 'mkdir -p /var/cache/dovecot-bot/r2025a/partial && exec env")
    assert len(shown) == len("```\n$ \n```") + 300


def test_of_what_went_wrong_what_it_printed_is_shown_as_far_as_it_fits() -> None:
    (shown,) = [part for part in said_of(well=False) if "$ " in part]
    assert "more lines, in the file" in shown


@pytest.mark.parametrize("move_first", [False, True])
def test_a_whole_run_has_at_most_forty_replies_in_either_order(move_first: bool) -> None:
    told = places(Story(plan(move_first=move_first)).until(None, on=Status.ENDED).entries)
    assert len(told) <= 40


def test_the_worst_run_has_no_more_replies() -> None:
    assert places(at_worst(happy)) == places(entries_of(happy))


CALLS = (
    fact.ApprovalAsked,
    fact.ApprovalRepeated,
    fact.SkipProposed,
    fact.StepFailed,
    fact.RunHeld,
    fact.ApprovalExpired,
    fact.Postponed,
    fact.OthersCounted,
    fact.RunEnded,
)
"""Where something is needed of people, fails or ends."""

ACTS = (
    fact.Approved,
    fact.Denied,
    fact.ApprovalRefused,
    fact.LongerWaitChosen,
    fact.RetryChosen,
    fact.SkipAgreed,
    fact.GoBackAsked,
    fact.TakenOver,
    fact.StepStarted,
)
"""Where somebody did something, and is named for it."""


@pytest.mark.parametrize("made", ALL)
def test_people_are_mentioned_only_where_something_is_needed_of_them_fails_or_ends(made: Callable[[], Story]) -> None:
    """Whoever is called for every step hears no call any more. The group is called at questions alone."""
    run = fold(entries_of(made))
    assert run is not None
    for entry, message in all_messages(entries_of(made)):
        first = message.blocks[0]["type"] == "header"  # posted once, then edited, which calls nobody
        ended = "actions" not in {block["type"] for block in message.blocks} and not isinstance(entry.fact, CALLS)
        said = f"{message.text} {seen(message)}"
        if not first and not isinstance(entry.fact, CALLS + ACTS):
            assert "<@" not in said, type(entry.fact).__name__
        if not first and not isinstance(entry.fact, CALLS) and not ended:
            assert GROUP not in said, type(entry.fact).__name__


@pytest.mark.parametrize("made", ALL)
def test_every_time_stands_in_utc_and_as_the_readers_clock_has_it(made: Callable[[], Story]) -> None:
    """But for one in the text of a fact, which is the same for everybody."""
    for entry, message in all_messages(entries_of(made)):
        shown = "\n".join(markup(message.blocks))
        without = re.sub(r"\|[^>]*>", ">", shown)
        assert "<!date" not in message.text, "a notification shows it as it is"
        assert not re.search(r"(?<!since )\d\d:\d\d:\d\d UTC(?! \(<!date\^)", without), type(entry.fact).__name__
