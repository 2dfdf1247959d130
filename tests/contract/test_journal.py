"""The journal: the same promises of the fake and of SQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.adapters.journal import SqlJournal
from bot.core.decisions.damage import Release
from bot.core.runs.events import (
    Outcome,
    RunEnded,
    RunHeld,
    RunRequested,
    StageBegan,
    StepNotDone,
    UsersCounted,
    WaitBegan,
)
from bot.core.runs.events.claims import claims
from bot.engine.ports import Journal
from bot.errors import Conflict, Illegal, RingClaimed
from tests.contract.journals import DONE, SECOND, path, proved, requested, url
from tests.fakes import MORNING, FakeJournal

__all__ = ["path"]


@pytest.fixture(params=["fake", "sql"])
async def two(request: pytest.FixtureRequest, path: Path) -> AsyncIterator[tuple[Journal, Journal]]:
    """Two writers of the same journal; the fake is one that both share."""
    if request.param == "fake":
        fake = FakeJournal()
        yield fake, fake
        return
    async with SqlJournal(url(path)) as one, SqlJournal(url(path)) as other:
        yield one, other


@pytest.fixture
def journal(two: tuple[Journal, Journal]) -> Journal:
    return two[0]


# what every journal promises


async def test_facts_come_back_as_they_were_in_order_and_numbered(journal: Journal) -> None:
    facts = (
        requested(),
        StageBegan(stage="drain"),
        DONE,
        WaitBegan(step="wait", until=MORNING),
        UsersCounted(users={}),
    )
    written = await journal.append("r1", 0, MORNING, facts)
    assert await journal.entries("r1") == written
    assert [entry.seq for entry in written] == [1, 2, 3, 4, 5]
    assert tuple(entry.fact for entry in written) == facts
    assert {(entry.run, entry.at) for entry in written} == {("r1", MORNING)}


async def test_who_has_read_a_run_reads_on_from_there(journal: Journal) -> None:
    """The thread does at every fact: read from the first one, a long run would be read a hundred times."""
    written = await journal.append("r1", 0, MORNING, (requested(), StageBegan(stage="drain"), DONE))
    assert await journal.entries("r1", after=1) == written[1:]
    assert await journal.entries("r1", after=3) == ()
    more = await journal.append("r1", 3, MORNING, (UsersCounted(users={}),))
    assert await journal.entries("r1", after=3) == more


@pytest.mark.parametrize("text", ["\ud800", "\x00", "\u2028", "\N{PILE OF POO}", "a" * 1_000_000, ""])
async def test_whatever_somebody_types_or_a_host_prints_comes_back(journal: Journal, text: str) -> None:
    await journal.append("r1", 0, MORNING, [requested(), RunHeld(reason=text)])
    assert (await journal.entries("r1"))[1].fact == RunHeld(reason=text)


async def test_what_one_wrote_the_other_reads(two: tuple[Journal, Journal]) -> None:
    one, other = two
    await one.append("r1", 0, MORNING, [requested()])
    await other.append("r1", 1, MORNING, [StageBegan(stage="drain")])
    assert await one.entries("r1") == await other.entries("r1")
    assert len(await one.entries("r1")) == 2


async def test_nothing_is_known_of_an_unknown_run(journal: Journal) -> None:
    assert await journal.entries("nobody") == ()
    assert await journal.open_runs() == ()
    assert await journal.all_runs() == ()


async def test_of_two_writers_of_the_same_fact_one_writes_and_one_is_told(two: tuple[Journal, Journal]) -> None:
    """Two clicks, or two bots: the law that makes every approval count once."""
    await two[0].append("r1", 0, MORNING, [requested()])
    for after in range(1, 21):
        facts = [RunHeld(reason="one"), RunHeld(reason="other")]
        ended = await asyncio.gather(
            *(writer.append("r1", after, MORNING, [fact]) for writer, fact in zip(two, facts, strict=True)),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in ended) == ["Conflict", "tuple"]
    assert len(await two[1].entries("r1")) == 21


async def test_a_conflict_writes_nothing_of_what_was_asked(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested(), StageBegan(stage="drain")])
    with pytest.raises(Conflict):
        await journal.append("r1", 1, MORNING, [RunHeld(reason="late"), RunEnded(outcome=Outcome.ABORTED)])
    assert len(await journal.entries("r1")) == 2
    assert await journal.open_runs() == ("r1",)


async def test_a_run_claims_its_ring_from_its_first_fact_to_its_last(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested()])
    with pytest.raises(RingClaimed) as held:
        await journal.append("r2", 0, MORNING, [requested()])
    assert (held.value.ring, held.value.run) == ("blue", "r1")
    assert await journal.entries("r2") == ()
    await journal.append("r1", 1, MORNING, [RunEnded(outcome=Outcome.DONE)])
    await journal.append("r2", 0, MORNING + SECOND, [requested()])
    assert await journal.open_runs() == ("r2",)
    assert await journal.all_runs() == ("r1", "r2")


async def test_of_two_runs_that_ask_at_the_same_moment_exactly_one_claims_the_ring(
    two: tuple[Journal, Journal],
) -> None:
    for ring in (f"ring-{number}" for number in range(20)):
        ended = await asyncio.gather(
            *(writer.append(f"{ring}-{n}", 0, MORNING, [requested(ring)]) for n, writer in enumerate(two)),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in ended) == ["RingClaimed", "tuple"]
    assert len(await two[0].open_runs()) == len(await two[0].all_runs()) == 20


async def test_two_rings_of_the_settings_behind_the_same_directors_are_one(journal: Journal) -> None:
    """Two backends behind the same directors are never out at once, whatever the settings call their rings."""
    await journal.append("r1", 0, MORNING, [requested("blue", directors=("d1", "d2"))])
    with pytest.raises(RingClaimed, match=r"^the director that `ssh d2` reaches is claimed by run r1$") as held:
        await journal.append("r2", 0, MORNING, [requested("red", directors=("d2", "d3"))])
    assert (held.value.ring, held.value.run) == ("", "r1")
    assert await journal.open_runs() == await journal.all_runs() == ("r1",)


async def test_a_backend_is_claimed_by_its_address_whatever_ring_it_is_in(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested("blue", ip="192.0.2.1")])
    with pytest.raises(RingClaimed, match=r"^the backend 192\.0\.2\.1 is claimed by run r1$"):
        await journal.append("r2", 0, MORNING, [requested("red", ip="192.0.2.1")])


async def test_what_was_refused_claims_nothing(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested("blue", directors=("d1",))])
    with pytest.raises(RingClaimed):
        await journal.append("r2", 0, MORNING, [requested("red", ip="192.0.2.1", directors=("d2", "d1"))])
    await journal.append("r3", 0, MORNING, [requested("green", ip="192.0.2.1", directors=("d2",))])
    await journal.append("r4", 0, MORNING, [requested("red", ip="192.0.2.2", directors=("d4",))])


async def test_all_that_a_run_claims_is_free_after_its_last_fact(journal: Journal) -> None:
    shared = ("d1", "d2")
    await journal.append("r1", 0, MORNING, [requested("blue", directors=shared), proved("192.0.2.8:9090")])
    await journal.append("r1", 2, MORNING, [RunEnded(outcome=Outcome.DONE)])
    await journal.append("r2", 0, MORNING, [requested("red", directors=shared), proved("192.0.2.8:9090")])
    assert await journal.open_runs() == ("r2",)


async def test_a_director_is_claimed_by_what_it_calls_itself_once_that_is_proved(journal: Journal) -> None:
    """Two names for one director: only the director itself can say so."""
    await journal.append("r1", 0, MORNING, [requested("blue"), proved("192.0.2.8:9090", "192.0.2.9:9090")])
    await journal.append("r2", 0, MORNING, [requested("red")])
    with pytest.raises(RingClaimed, match=r"^the director 192\.0\.2\.9:9090 is claimed by run r1$"):
        await journal.append("r2", 1, MORNING, [StageBegan(stage="preflight"), proved("192.0.2.9:9090")])
    assert len(await journal.entries("r2")) == 1
    await journal.append("r2", 1, MORNING, [proved("192.0.2.10:9090")])


async def test_a_run_may_prove_its_hosts_again_and_names_one_director_twice_in_vain(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested("blue", directors=("d1", "d1"))])
    for after in (1, 2):
        await journal.append("r1", after, MORNING, [proved("192.0.2.8:9090", "192.0.2.8:9090")])
    assert len(await journal.entries("r1")) == 3


async def test_of_two_runs_that_share_a_director_at_the_same_moment_exactly_one_begins(
    two: tuple[Journal, Journal],
) -> None:
    for n in range(20):
        ended = await asyncio.gather(
            *(
                writer.append(f"{ring}-{n}", 0, MORNING, [requested(f"{ring}-{n}", directors=(f"d{n}",))])
                for ring, writer in zip(("blue", "red"), two, strict=True)
            ),
            return_exceptions=True,
        )
        assert sorted(type(one).__name__ for one in ended) == ["RingClaimed", "tuple"]


async def test_rings_are_claimed_each_by_its_own_run_the_oldest_first(journal: Journal) -> None:
    await journal.append("b", 0, MORNING + SECOND / 2, [requested("blue")])
    await journal.append("a", 0, MORNING + SECOND, [requested("red")])
    await journal.append("c", 0, MORNING, [requested("green")])
    assert await journal.open_runs() == await journal.all_runs() == ("c", "b", "a")


async def test_a_run_that_ends_with_its_first_facts_claims_nothing(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested(), RunEnded(outcome=Outcome.REFUSED, reason="no")])
    assert await journal.open_runs() == ()
    await journal.append("r2", 0, MORNING, [requested()])


async def test_the_same_request_again_is_a_conflict_and_not_a_claimed_ring(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested()])
    with pytest.raises(Conflict):
        await journal.append("r1", 0, MORNING, [requested()])


@pytest.mark.parametrize(
    ("after", "facts"),
    [(0, [RunHeld(reason="first")]), (1, [requested("red")]), (0, [requested("red"), requested("green")])],
)
async def test_only_a_first_fact_is_a_request_and_every_first_fact(
    journal: Journal, after: int, facts: list[RunHeld | RunRequested]
) -> None:
    """A run without a ring, or with two, could not be told from one that nobody holds back."""
    if after:
        await journal.append("r1", 0, MORNING, [requested()])
    with pytest.raises(Illegal):
        await journal.append("r1", after, MORNING, facts)
    assert len(await journal.entries("r1")) == after


async def test_a_number_that_leaves_a_gap_is_never_written(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested()])
    with pytest.raises(Illegal, match="fact 7 is not there"):
        await journal.append("r1", 7, MORNING, [RunHeld(reason="gap")])


async def test_a_sound_run_is_not_damaged_and_cannot_be_told_from_nothing(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested(), StageBegan(stage="drain")])
    assert await journal.examine("r1") is None
    assert await journal.examine("nobody") is None


async def test_facts_that_cannot_follow_each_other_are_damage_and_claim_what_they_claimed(journal: Journal) -> None:
    await journal.append("r1", 0, MORNING, [requested(), UsersCounted(users={}), StepNotDone(step="x", reason="")])
    found = await journal.examine("r1")
    assert found is not None
    assert found.flaw.startswith("fact 3: StepNotDone cannot happen")
    assert [entry.seq for entry in found.sound] == [1, 2]
    assert (found.rings, found.release) == (("blue",), None)
    assert set(found.keys) == set(claims(requested()))


RELEASE = Release(run="r1", by="U2", at=MORNING, reason="„seen“ by hand; \N{SNOWMAN}")


async def test_a_release_frees_all_that_a_run_claims_and_is_kept(journal: Journal) -> None:
    broken = StepNotDone(step="x", reason="")
    await journal.append("r1", 0, MORNING, [requested(), proved("192.0.2.8:9090"), broken])
    await journal.append("r2", 0, MORNING, [requested("red")])
    await journal.release(RELEASE)
    found = await journal.examine("r1")
    assert found is not None
    assert (found.rings, found.keys, found.release) == ((), (), RELEASE)
    assert await journal.open_runs() == ("r2",)
    assert await journal.all_runs() == ("r1", "r2")
    await journal.append("r3", 0, MORNING, [requested(), proved("192.0.2.8:9090")])


async def test_of_two_who_release_a_run_at_the_same_moment_one_is_told(two: tuple[Journal, Journal]) -> None:
    await two[0].append("r1", 0, MORNING, [requested(), StepNotDone(step="x", reason="")])
    ended = await asyncio.gather(*(one.release(RELEASE) for one in two), return_exceptions=True)
    assert sorted(type(one).__name__ for one in ended) == ["Conflict", "NoneType"]


async def test_what_claims_nothing_cannot_be_released(journal: Journal) -> None:
    with pytest.raises(Conflict):
        await journal.release(RELEASE)
    await journal.append("r1", 0, MORNING, [requested(), RunEnded(outcome=Outcome.REFUSED)])
    with pytest.raises(Conflict):
        await journal.release(RELEASE)
    assert await journal.examine("r1") is None
