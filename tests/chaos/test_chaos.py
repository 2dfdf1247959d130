"""A handful of the chaos program's scenes, so that the tests run it too; `tests/run chaos` plays them all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.chaos import cuts, kills, others, rings, slacks
from tests.chaos.act import Verdict, act
from tests.chaos.case import Case
from tests.chaos.cases import all_cases, sample
from tests.chaos.good import Good, good_run
from tests.chaos.play import Play
from tests.chaos.program import GOOD, Account

CASES = (
    GOOD,
    Case(name="kill", kind="kills", family="kill", trouble=kills.at_facts("StepStarted:stop-dovecot")),
    Case(
        name="cut",
        kind="cuts",
        family="cut-during",
        trouble=cuts.command("systemctl stop dovecot", when="during", what="cut"),
    ),
    Case(
        name="drop",
        kind="slack",
        family="drop",
        trouble=slacks.call_fails_at("StageBegan:drain", "chat.postMessage", "drop_after_accept", times=2),
    ),
    Case(
        name="restart",
        kind="ring",
        family="restart",
        trouble=rings.director_restarts_at("StageBegan:upgrade", "director-2"),
        disturbs_ring=True,
    ),
    Case(
        name="others out",
        kind="others",
        family="others-out",
        trouble=others.at("StepDone:stop-lmtp", others.others_out, lasts=2.0, killed=True),
        disturbs_ring=True,
        others_gone=True,
        retries=4,
    ),
    Case(
        name="elsewhere",
        kind="others",
        family="elsewhere",
        trouble=others.at("StepStarted:start-dovecot", others.leads_elsewhere, lasts=2.0, killed=True),
        retries=4,
    ),
)


MOVING = Case(
    name="moving",
    kind="kills",
    family="kill-move",
    trouble=kills.at_facts("StepStarted:move-users", "StepStarted:stop-lmtp", "StepDone:stop-dovecot"),
    take_down="move-first",
)


async def _take_another_backend_out(play: Play) -> None:
    play.struck = True
    await play.facts.until("StageBegan:upgrade")
    ip = play.ring.backends["backend-2"].ip
    play.ring.state.change(ip, now=datetime.now(UTC), vhosts=0)
    await asyncio.sleep(0.2)  # some samples long
    play.ring.state.change(ip, now=datetime.now(UTC), vhosts=100)


TWO_OUT = Case(name="two out", kind="ring", family="two", trouble=_take_another_backend_out)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """All at once, in a loop of their own: a scene mostly waits for its bot."""

    async def all_of_them() -> list[Verdict]:
        return await asyncio.gather(
            *(act(case, folder=folders[case.name], seed=1) for case in (*CASES, MOVING, TWO_OUT))
        )

    folders: dict[str, Path] = {case.name: tmp_path_factory.mktemp(case.name) for case in (*CASES, MOVING, TWO_OUT)}
    return {verdict.case: verdict for verdict in asyncio.run(all_of_them())}


def good_of(verdicts: dict[str, Verdict]) -> Good:
    """What the scenes here tell; of the one that moves first, without what its kills made it do again."""
    first = verdicts["good"]
    assert first.evidence is not None
    once = [name for name in verdicts[MOVING.name].facts if "#" not in name]
    return good_run(first.facts, first.evidence, moving=once)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_trouble_happens_and_no_law_is_broken(verdicts: dict[str, Verdict], case: Case) -> None:
    assert verdicts[case.name].struck
    assert verdicts[case.name].broken == ()


def test_killed_in_the_move_and_in_the_take_down_no_user_of_a_ring_that_moves_first_fails_a_login(
    verdicts: dict[str, Verdict],
) -> None:
    moving = verdicts[MOVING.name]
    assert moving.struck
    assert moving.broken == ()
    assert moving.evidence is not None
    assert moving.evidence.failed_logins == ()


def test_the_sample_is_the_same_for_a_seed_and_has_every_kind_and_every_fact(verdicts: dict[str, Verdict]) -> None:
    """A run that went wrong can be repeated; and nothing is left out silently."""
    good = good_of(verdicts)
    names = [case.name for case in sample(good, 7)]
    assert names == [case.name for case in sample(good, 7)]
    assert names != [case.name for case in sample(good, 8)]
    families = {(case.kind, case.family) for case in all_cases(good) if not case.seldom}
    assert {(case.kind, case.family) for case in sample(good, 7)} == families
    killed = {fact for name in names if name.startswith("kill/") for fact in name.removeprefix("kill/").split("+")}
    assert killed >= set(good.facts)


def test_the_bot_is_killed_at_every_fact_of_a_move_and_of_the_take_down_after_it(verdicts: dict[str, Verdict]) -> None:
    """In scenes of their own with --all, some in one in a sample; and the account says at how many it was."""
    good = good_of(verdicts)
    assert {"StepStarted:move-users", "StepDone:move-users", "StepStarted:stop-lmtp"} <= set(good.moving)
    assert {f"kill-move/{name}" for name in good.moving} <= {case.name for case in all_cases(good)}
    sampled = [case.name.removeprefix("kill-move/") for case in sample(good, 7) if case.name.startswith("kill-move/")]
    assert {name for names in sampled for name in names.split("+")} == set(good.moving)
    account = Account()
    account.add(MOVING, verdicts[MOVING.name])
    assert account.killed(good).endswith(f", 3 of the {len(good.moving)} of a move and the take-down after it")


def test_a_scene_in_which_two_backends_are_out_is_seen(verdicts: dict[str, Verdict]) -> None:
    """Whoever does it: the program counts it, and ends with 1."""
    account = Account()
    account.add(TWO_OUT, verdicts["two out"])
    assert account.broken["two_out"] == 1
    assert account.status == 1
    assert " others=0 " in account.last_line
    assert account.last_line.endswith(" two_out=1 last_taken=0 wrong_host=0 deleted_unflushed=0 late=0")
