"""What directors say of backends and of each other, and their answers held against one another.

A name in the settings is a claim: a director that is asked twice under two names leaves another one unasked.
"""

from __future__ import annotations

import pytest

from bot.core.hosts.inventory import Target
from bot.core.plans.plan import Expected
from bot.core.plans.procedure import Where
from bot.core.readings.expect import Look, Verdict, judge
from bot.core.readings.outputs import Reading
from bot.core.readings.probes import PROBES
from bot.core.runs.events import Seen
from bot.errors import Unreadable
from tests.unit.core.test_probes import RECORDED, lab_target, read, result

A, B, C = "127.0.1.1:9090", "127.0.1.2:9090", "127.0.1.3:9090"


def with_tags(**tags: str) -> Reading:
    """The recorded status, read for backend-3, with tags on backends (by `b1`, `b2`, `b3`)."""
    text = (RECORDED / "director-status.tab").read_text()
    for backend, tag in tags.items():
        text = text.replace(f"127.0.2.{backend[1:]}\t\t", f"127.0.2.{backend[1:]}\t{tag}\t")
    return PROBES["director-hosts"].read(lab_target(), {}, result(text))


# backends and their tags


def test_backends_of_another_tag_belong_to_another_ring_of_the_settings() -> None:
    """They may be out, or unknown here: the users of this tag are never mapped to them."""
    text = (RECORDED / "director-status.tab").read_text()
    elsewhere = text + "127.0.2.8\tother\t0\tdown\t-\t0\n127.0.2.9\tother\t100\tup\t-\t9\n"
    reading = PROBES["director-hosts"].read(lab_target(), {}, result(elsewhere))
    assert (reading["others"], reading["usable_others"]) == ("as usual", 2)


def test_a_backend_of_the_same_tag_that_the_settings_do_not_know_is_named() -> None:
    text = (RECORDED / "director-status.tab").read_text().replace("\t\t", "\tmain\t")
    reading = PROBES["director-hosts"].read(lab_target(), {}, result(text + "127.0.2.9\tmain\t100\tup\t-\t0\n"))
    assert reading["others"] == "127.0.2.9 is on the list but was not in the settings when this was asked for"


@pytest.mark.parametrize(
    ("tags", "said"),
    [
        ({"b1": "x"}, "backend-1 has tag x and backend-3 no tag"),
        ({"b3": "x", "b2": "x"}, "backend-1 has no tag and backend-3 tag x"),
        ({"b1": "x", "b2": "y", "b3": "y"}, "backend-1 has tag x and backend-3 tag y"),
    ],
)
def test_another_backend_of_the_ring_that_has_another_tag_is_named(tags: dict[str, str], said: str) -> None:
    """The settings say that users move between the two; the directors never let them."""
    assert with_tags(**tags)["others"] == said


def test_users_are_stranded_when_no_other_backend_of_their_tag_is_usable() -> None:
    assert with_tags()["stranded"] == 0
    assert with_tags(b3="alone")["stranded"] == 3
    drained = (RECORDED / "director-status-drained.tab").read_text().replace("100\tup", "0\tup")
    assert PROBES["director-hosts"].read(lab_target(), {}, result(drained))["stranded"] == 3


# directors and their ring


def test_a_director_says_who_it_is_and_who_the_members_of_its_ring_are() -> None:
    reading = read("director-ring", "director-ring-status.tab")
    assert (reading["self"], reading["members"]) == (A, f"{A} {B}")
    away = read("director-ring", "director-ring-status-one-away.tab")
    assert (away["self"], away["members"]) == (A, f"{A} {B}")


def test_an_address_of_ipv6_is_told_from_its_port() -> None:
    text = (RECORDED / "director-ring-status.tab").read_text().replace("127.0.1.", "2001:db8::")
    reading = PROBES["director-ring"].read(lab_target(), {}, result(text))
    assert reading["members"] == "[2001:db8::1]:9090 [2001:db8::2]:9090"


@pytest.mark.parametrize("row", ["\t9090\tself\tnever\tring synced", "127.0.1.1\t\tself\tnever\tring synced"])
def test_a_row_without_its_address_is_no_answer(row: str) -> None:
    text = f"director ip\tport\ttype\tlast failed\tstatus\n{row}\n"
    with pytest.raises(Unreadable):
        PROBES["director-ring"].read(lab_target(), {}, result(text))


# their answers held against one another


def says(own: str, *others: str) -> Reading:
    """What the director of that address says when it knows itself and these members."""
    head, first, *_ = (RECORDED / "director-ring-status.tab").read_text().splitlines()
    rows = [first.replace("127.0.1.1", own.partition(":")[0])]
    rows += [f"{other.partition(':')[0]}\t9090\tright\tnever\tsynced" for other in others]
    return PROBES["director-ring"].read(_ring_of(1 + len(others)), {}, result("\n".join([head, *rows])))


def _ring_of(directors: int) -> Target:
    return lab_target(directors=directors)


def judged(*said: Reading | None, where: Where = Where.EVERY_DIRECTOR, **asks: bool) -> Verdict:
    return judge([look(*said, where=where, **asks)])


def look(*said: Reading | None, where: Where = Where.EVERY_DIRECTOR, **asks: bool) -> Look:
    """A look at director-1, director-2, … which said that; None: not read."""
    seen = (
        Seen(host=f"director-{number}", probe="director-ring", reading=reading, problem="" if reading else "no answer")
        for number, reading in enumerate(said, 1)
    )
    return Look(expected=Expected(probe="director-ring", where=where, asks=asks), seen=tuple(seen))


def test_directors_that_are_the_members_of_their_ring_hold() -> None:
    assert judged(says(A, B), says(B, A), synced=True).holds is True
    assert judged(says(A), synced=True).holds is True


@pytest.mark.parametrize("where", [Where.EVERY_DIRECTOR, Where.ANSWERING_DIRECTORS])
@pytest.mark.parametrize("asks", [{}, {"synced": True}])
def test_one_director_asked_under_two_names_is_not_two(where: Where, asks: dict[str, bool]) -> None:
    """Both say `ring synced`, and nobody has asked the other one; so it is whatever the procedure expects."""
    verdict = judged(says(A, B), says(A, B), where=where, **asks)
    assert verdict.holds is False
    assert verdict.reason.startswith(
        f"director-1 and director-2 are one and the same director, {A}:"
        " one of the two `ssh` names in the settings is wrong"
    )


def test_one_director_asked_under_three_names_is_said_once() -> None:
    reason = judged(says(A, B, C), says(A, B, C), says(A, B, C)).reason
    assert f"director-1, director-2 and director-3 are one and the same director, {A}" in reason
    assert reason.count("one and the same") == 1


def test_a_member_that_no_director_of_the_settings_answers_as_is_named() -> None:
    verdict = judged(says(A, B, C), says(B, A, C))
    assert verdict.holds is False
    assert verdict.reason == (
        f"{C} is a member of the ring, and no director that the settings had when this was asked for answers as it;"
        " one that is added to them counts for runs that are asked for from then on"
    )


def test_directors_of_two_rings_are_not_one_ring() -> None:
    verdict = judged(says(A), says(B))
    assert verdict.holds is False
    assert verdict.reason == f"the directors name different members: director-1: {A}; director-2: {B}"


@pytest.mark.parametrize("where", [Where.EVERY_DIRECTOR, Where.ANSWERING_DIRECTORS])
def test_a_director_that_does_not_know_all_members_yet_is_in_no_whole_ring(where: Where) -> None:
    """As right after its restart: it is looked at again."""
    assert judged(says(A, B), says(B), where=where).holds is False


def test_of_the_directors_that_answer_nobody_has_to_be_all_members() -> None:
    assert judged(says(A, B, C), None, says(C, A, B), where=Where.ANSWERING_DIRECTORS).holds is True


def test_a_director_of_another_ring_is_no_proof_among_those_that_answer() -> None:
    verdict = judged(says(A, B), says(C), where=Where.ANSWERING_DIRECTORS)
    assert verdict.holds is False
    assert f"director-2 is {C}, which is no member of the ring that director-1 is in: {A} {B}" in verdict.reason


def test_a_director_that_could_not_be_read_is_no_proof_that_it_is_missing() -> None:
    """It is asked again; what was read already tells against itself."""
    assert judged(says(A, B), None).holds is None
    assert judged(says(A, B, C), says(A, B, C), None).holds is False


def test_one_director_is_held_against_nobody() -> None:
    assert judged(says(A, B), where=Where.ONE_DIRECTOR).holds is True
