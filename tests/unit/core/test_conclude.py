"""What a change comes to, for everything that can be heard and seen of it: the table keeps its own law."""

from __future__ import annotations

from itertools import product

import pytest

from bot.core.decisions.conclude import ATTEMPTS, CommandEnd, Conclusion, OnHosts, conclude, on_hosts

EVERYTHING = list(product(CommandEnd, OnHosts, (True, False), range(1, ATTEMPTS + 1)))


def test_nothing_is_done_that_was_not_seen_but_where_nothing_can_be_seen_of_a_yes() -> None:
    done = {(heard, seen) for heard, seen, again, at in EVERYTHING if came(heard, seen, again, at) is Conclusion.DONE}
    assert done == {(heard, OnHosts.DONE) for heard in CommandEnd if heard is not CommandEnd.NEVER_RAN} | {
        (CommandEnd.EXIT_0, OnHosts.INVISIBLE)
    }


def test_nothing_is_sent_again_that_may_do_harm_or_may_still_come_or_was_sent_often() -> None:
    sent_again = [one for one in EVERYTHING if came(*one) is Conclusion.AGAIN]
    assert {attempt for *_, attempt in sent_again} == set(range(1, ATTEMPTS))
    assert {heard for heard, _, repeatable, _ in sent_again if not repeatable} == {CommandEnd.NEVER_RAN}
    assert {heard for heard, *_ in sent_again} == {
        CommandEnd.NEVER_RAN,
        CommandEnd.FORGOTTEN,
        CommandEnd.EXIT_75,
        CommandEnd.OVER,
    }
    known = {seen for heard, seen, *_ in sent_again if heard is not CommandEnd.NEVER_RAN}
    assert known == {OnHosts.UNDONE, OnHosts.INVISIBLE}


def test_only_what_was_not_heard_or_cannot_be_read_is_in_doubt() -> None:
    in_doubt = {
        (heard, seen) for heard, seen, again, at in EVERYTHING if came(heard, seen, again, at) is Conclusion.DOUBT
    }
    unread = {(end, OnHosts.UNKNOWN) for end in (CommandEnd.EXIT_0, CommandEnd.FORGOTTEN, CommandEnd.EXIT_75)}
    assert in_doubt == unread | {(CommandEnd.NOT_HEARD, seen) for seen in OnHosts if seen is not OnHosts.DONE}


@pytest.mark.parametrize(
    ("holds", "visible", "seen"),
    [
        (True, True, OnHosts.DONE),
        (False, True, OnHosts.UNDONE),
        (None, True, OnHosts.UNKNOWN),
        (None, False, OnHosts.INVISIBLE),
    ],
)
def test_a_look_that_could_not_be_taken_is_not_one_that_saw_nothing_done(
    holds: bool | None, visible: bool, seen: OnHosts
) -> None:
    assert on_hosts(holds, visible=visible) is seen


def came(heard: CommandEnd, seen: OnHosts, repeatable: bool, attempt: int) -> Conclusion:
    return conclude(heard, seen, repeatable=repeatable, attempt=attempt)
