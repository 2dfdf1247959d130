"""From procedure and target to literal commands, everything quoted on its own."""

from __future__ import annotations

import shlex
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.core.plans import proposal
from bot.core.plans.fill import Filling, make_plan
from bot.core.plans.plan import PLAN, Plan, PlannedChange
from bot.errors import Refused
from tests.build import library, order, plan, target


def text_of(made: Plan, step: str) -> str:
    found = next(one for one in made.steps if one.name == step)
    assert isinstance(found, PlannedChange)
    return found.action.command.text


def test_the_fourteen_rows_of_the_runbook_come_in_their_order() -> None:
    rows = [step.runbook for step in plan().steps if step.runbook]
    assert rows == sorted(rows)
    assert set(rows) == set(range(1, 15))


def test_no_placeholder_is_left_in_what_will_run() -> None:
    for step in plan().steps:
        if isinstance(step, PlannedChange):
            assert "{" not in step.action.command.text.replace("{}", "")


def test_the_plan_survives_the_journal_with_its_digest() -> None:
    made = plan()
    again = PLAN.validate_json(PLAN.dump_json(made))
    assert again == made
    assert again.digest == made.digest


def test_anything_that_is_different_on_a_host_makes_another_digest() -> None:
    assert len({plan().digest, plan(config=False).digest, plan(packages=False).digest}) == 3


def test_what_was_not_asked_for_is_left_out_and_said() -> None:
    bare = plan(config=False, packages=False, metacache=False)
    assert {left.step for left in bare.left_out} >= {"install-config", "install-packages", "clean-metacache"}
    assert all(left.because for left in bare.left_out)
    assert [step.name for step in bare.steps if step.runbook == 8] == []


@pytest.mark.parametrize(
    ("move_first", "metacache", "because"),
    [
        (True, True, ""),
        (True, False, "this ring has no metacache"),
        (False, True, "this ring's take-down is in the runbook's order"),
    ],
)
def test_a_step_that_needs_two_things_is_there_where_both_are(move_first: bool, metacache: bool, because: str) -> None:
    made = plan(move_first=move_first, metacache=metacache)
    said = {left.step: left.because for left in made.left_out}
    assert ("upload-metacache" in {step.name for step in made.steps}) == (not because)
    assert said.get("upload-metacache", "").startswith(because)


@pytest.mark.parametrize(("users", "seconds"), [(0, 90), (1, 94), (100, 94), (101, 98), (10_000, 490)])
@pytest.mark.parametrize("step", ["move-users", "flush-users"])
def test_a_flush_has_time_for_all_the_users_that_it_moves(step: str, users: int, seconds: int) -> None:
    """Directors move a hundred at a time, and wait two seconds after each kick: 10,000 of them take 200 s."""
    (flush,) = (one for one in plan(move_first=True).changes if one.name == step)
    assert flush.action.patience(users) == timedelta(seconds=seconds)


def test_everything_that_deletes_sees_first_on_the_host_that_dovecot_is_stopped() -> None:
    for step in ("remove-old-metacache-database", "clean-metacache"):
        _, _, script = shlex.split(text_of(plan(), step))
        assert script.startswith(
            'test "$(systemctl show --property=ActiveState --value dovecot)" = inactive || exit 97; '
        )


def test_each_package_is_an_argument_of_its_own() -> None:
    script = shlex.split(text_of(plan(), "install-packages"))[-1]
    assert shlex.split(script)[-2:] == ["install", "dovecot-core=1:2.3.19.1-2"]


def test_every_change_says_how_it_is_undone_or_why_not() -> None:
    for step in plan().steps:
        if isinstance(step, PlannedChange):
            assert (step.undo is None) != (step.no_undo_because is None)


@given(st.text(min_size=1, max_size=30))
def test_a_filled_value_stays_one_word_of_the_shell(value: str) -> None:
    fill = Filling(order())
    fill._values["config.name"] = [value]
    assert shlex.split(fill.script("echo {config.name} end")) == ["echo", value, "end"]
    assert fill.argv(("echo", "{config.name}", "x{config.name}")) == ("echo", value, f"x{value}")


# what people type


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("", "Which backend"),
        ("backend-3; reboot", "not the name of a backend"),
        ("$(reboot)", "not the name of a backend"),
        ("../backend", "not the name of a backend"),
        ("backend-3 config=../../etc", "not a name"),
        ("backend-3 config=a/b", "not a name"),
        ("backend-3 config=", "config=NAME or config=keep"),
        ("backend-3 config=a config=b", "twice"),
        ("backend-3 packages=dovecot-core", "NAME=VERSION"),
        ("backend-3 packages=-o=x", "NAME=VERSION"),
        ("backend-3 packages=a=1,a=2", "NAME=VERSION"),
        ("backend-3 packages=dovecot-core=1,dovecot-core=2", "twice"),
        ("backend-3 packages=dovecot-core=1;id", "NAME=VERSION"),
        ("backend-3 force", "not understood"),
    ],
)
def test_what_is_typed_wrongly_is_refused_with_what_is_wrong(typed: str, told: str) -> None:
    with pytest.raises(Refused, match=told):
        proposal.read_request(typed)


@given(st.text(max_size=60))
def test_nothing_typed_becomes_anything_but_plain_names(typed: str) -> None:
    try:
        asked = proposal.read_request(typed)
    except Refused:
        return
    words = [asked.backend, asked.config or "", *(str(package) for package in asked.packages)]
    assert all(word == shlex.quote(word) or not word for word in words)


def test_the_test_user_is_asked_for_by_the_very_name_that_the_settings_have() -> None:
    """Where users log in by telephone number: without its zero it is somebody else's."""
    here = target()
    here = here.model_copy(update={"ring": here.ring.model_copy(update={"test_user": "0612345678"})})
    made = make_plan(library().procedures[0], replace(order(), target=here))
    looks = [look for step in made.steps for look in step.looks if "user" in look.asks]
    assert looks
    assert {look.asks["user"] for look in looks} == {"0612345678"}
