"""What a change comes to, for everything that can be heard and seen of it: the table keeps its own law."""

from __future__ import annotations

from itertools import product

import pytest

from bot.core.decisions.conclude import ATTEMPTS, Conclusion, Heard, Shown, conclude, shown

EVERYTHING = list(product(Heard, Shown, (True, False), range(1, ATTEMPTS + 1)))


def test_nothing_is_done_that_was_not_seen_but_where_nothing_can_be_seen_of_a_yes() -> None:
    done = {(heard, seen) for heard, seen, again, at in EVERYTHING if came(heard, seen, again, at) is Conclusion.DONE}
    assert done == {(heard, Shown.DONE) for heard in Heard if heard is not Heard.NEVER_RAN} | {(Heard.YES, Shown.NEVER)}


def test_nothing_is_sent_again_that_may_do_harm_or_may_still_come_or_was_sent_often() -> None:
    sent_again = [one for one in EVERYTHING if came(*one) is Conclusion.AGAIN]
    assert {attempt for *_, attempt in sent_again} == set(range(1, ATTEMPTS))
    assert {heard for heard, _, repeatable, _ in sent_again if not repeatable} == {Heard.NEVER_RAN}
    assert {heard for heard, *_ in sent_again} == {Heard.NEVER_RAN, Heard.FORGOTTEN, Heard.PERHAPS, Heard.OVER}
    known = {seen for heard, seen, *_ in sent_again if heard is not Heard.NEVER_RAN}
    assert known == {Shown.UNDONE, Shown.NEVER}


def test_only_what_nothing_was_heard_of_is_in_doubt() -> None:
    in_doubt = {
        (heard, seen) for heard, seen, again, at in EVERYTHING if came(heard, seen, again, at) is Conclusion.DOUBT
    }
    assert in_doubt == {(Heard.NOTHING, seen) for seen in Shown if seen is not Shown.DONE}


@pytest.mark.parametrize(
    ("holds", "visible", "seen"),
    [
        (True, True, Shown.DONE),
        (False, True, Shown.UNDONE),
        (None, True, Shown.UNKNOWN),
        (None, False, Shown.NEVER),
    ],
)
def test_a_look_that_could_not_be_taken_is_not_one_that_saw_nothing_done(
    holds: bool | None, visible: bool, seen: Shown
) -> None:
    assert shown(holds, visible=visible) is seen


def came(heard: Heard, seen: Shown, repeatable: bool, attempt: int) -> Conclusion:
    return conclude(heard, seen, repeatable=repeatable, attempt=attempt)
