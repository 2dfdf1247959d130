"""What is said of a run that cannot be read whole, and who may let it go."""

from __future__ import annotations

import pytest

from bot.core.decisions.approval import Person
from bot.core.decisions.damage import Damaged, Release, damage_in_words, decide_release, examined
from bot.core.hosts.inventory import Inventory
from bot.core.runs.events import Entry, RunHeld, StageBegan
from bot.core.runs.events.claims import keys_of
from bot.core.runs.transitions import Status
from bot.engine.planning import Catalogue, Request
from bot.engine.ports import Ports
from bot.engine.recovery import recover
from bot.engine.service import Service
from bot.errors import Refused
from tests.build import NOON, REQUESTER, SECOND, THIRD, Story, library, ring, target
from tests.fakes import (
    FakeAnnouncer,
    FakeJournal,
    fake_ports,
)

FLAW = "run r2025a, fact 99: it was altered after it was written (hash)"
ENGINEER = Person(id=THIRD, may_ask=True, may_approve=True)
GIVEN = Release(run="r2025a", by=SECOND, at=NOON, reason="seen by hand")


def damaged(story: Story, *, holds: bool = True) -> Damaged:
    rings, keys = (("main",), keys_of(target())) if holds else ((), ())
    found = examined("r2025a", story.entries, FLAW, rings=rings, keys=keys)
    assert found is not None
    return found


# what is damaged


def test_a_sound_run_and_one_that_nobody_knows_are_not_damaged() -> None:
    assert examined("r2025a", Story().entries, "", rings=("main",)) is None
    assert examined("r2025a", (), "") is None


def test_a_release_is_told_of_a_sound_run_too_and_nothing_is_asked_of_anybody() -> None:
    found = examined("r2025a", Story().until("stop-dovecot", on=Status.BUSY).entries, "", release=GIVEN)
    assert found is not None
    words = damage_in_words(found)
    assert f"was released by <@{SECOND}>" in words
    assert "This may have run, or run still: `systemctl stop dovecot`" in words
    assert "release r2025a REASON" not in words


def test_facts_that_cannot_follow_each_other_are_damage_though_each_can_be_read() -> None:
    """Such as one that somebody has written with a hash that fits."""
    story = Story()
    cannot = Entry(run="r2025a", seq=2, at=NOON, fact=RunHeld(reason="x"))
    after = Entry(run="r2025a", seq=4, at=NOON, fact=StageBegan(stage="drain"))
    found = examined("r2025a", [*story.entries, cannot, after], "")
    assert found is not None
    assert found.flaw.startswith("fact 4 of r2025a cannot follow fact 2")
    assert len(found.sound) == 2
    assert found.last is not None
    assert found.last.status is Status.HELD


@pytest.mark.parametrize(
    ("until", "on", "said"),
    [
        ("backend-is-well", None, ["No change of the ring or of dovecot was seen done"]),
        ("drain", None, ["it had vhosts 0, so no new users."]),
        ("director-down", None, ["vhosts 0", "dovecot was stopped"]),
        (
            "stop-dovecot",
            Status.BUSY,
            ["the run was busy", "This may have run, or run still: `systemctl stop dovecot`"],
        ),
        ("install-packages", None, ["as down", "its users were moved", "dovecot was stopped", "dovecot was masked"]),
        ("approve-restore", None, ["vhosts 0", "as down", "dovecot was unmasked; dovecot was started."]),
        ("director-up", None, ["as down", "`doveadm director update 192.0.2.13 100` was done"]),
    ],
)
def test_it_says_what_the_backend_was_last_known_as(until: str, on: Status | None, said: list[str]) -> None:
    """A later change takes the place of an earlier one on the same: started, and not stopped and started."""
    words = damage_in_words(damaged(Story().until(until, on=on)))
    for part in ("fact 99: it was altered", "backend-3 (192.0.2.13) of ring main", "stays claimed", *said):
        assert part in words
    assert ("dovecot was stopped" in words) is ("dovecot was stopped" in said)


def test_where_no_fact_is_sound_what_it_claims_says_what_it_was_about() -> None:
    found = examined("r2025a", (), "", rings=("main",), keys=keys_of(target()))
    assert found is not None
    words = damage_in_words(found)
    assert "no fact of it is there any more" in words
    assert "the backend 192.0.2.13, the director that `ssh director-1` reaches" in words
    assert "release r2025a REASON" in words


def test_one_that_claims_nothing_asks_nothing_of_anybody() -> None:
    words = damage_in_words(damaged(Story().until(None), holds=False))
    assert "it claims nothing" in words
    assert "release" not in words


@pytest.mark.parametrize(
    ("until", "left"),
    [
        ("stop-dovecot", "`doveadm service stop lmtp` was done"),
        ("install-config", "its packages were changed"),
        ("remove-old-metacache-database", "its configuration was changed"),
        ("unmask-dovecot", "files were deleted there, as of its metacache"),
    ],
)
def test_what_was_stopped_replaced_and_deleted_is_said(until: str, left: str) -> None:
    """Whoever puts it back by hand would else give users a backend that takes no mail."""
    assert left in damage_in_words(damaged(Story().until(until).fail("exit 1")))


# who may let it go


@pytest.mark.parametrize(
    ("person", "reason", "said"),
    [
        (Person(id=THIRD, may_ask=True, may_approve=False), "seen", "not one of the approvers"),
        (Person(id=THIRD, may_ask=True, may_approve=True, barred="a guest"), "seen", "Not done: a guest"),
        (ENGINEER, " \n\t ", "needs a reason"),
        (ENGINEER, "x" * 501, "at most 500"),
    ],
)
def test_only_an_approver_with_a_reason_releases_it(person: Person, reason: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        decide_release("r2025a", damaged(Story()), person, reason, NOON)


def test_a_run_that_can_be_read_claims_nothing_or_was_released_is_not_released() -> None:
    """A sound run is aborted or taken over: this would leave its backend out with the ring free."""
    again = examined("r2025a", Story().entries, FLAW, release=GIVEN)
    over = damaged(Story(), holds=False)
    for found, said in ((None, "no run r2025a whose facts are damaged"), (again, "was released by"), (over, "nothing")):
        with pytest.raises(Refused, match=said):
            decide_release("r2025a", found, ENGINEER, "seen", NOON)


def test_a_reason_is_one_line_whatever_is_typed() -> None:
    release = decide_release("r2025a", damaged(Story()), ENGINEER, " seen\n:white_check_mark: *Approved* ", NOON)
    assert release == Release(run="r2025a", by=THIRD, at=NOON, reason="seen :white_check_mark: *Approved*")


# the engine


def bot(journal: FakeJournal) -> tuple[Ports, Service]:
    world = fake_ports(journal)
    catalogue = Catalogue(inventory=Inventory(rings=(ring(),)), procedures=library().procedures, rules=library().rules)
    return world, Service(world, catalogue, lambda: "r2025b")


async def deleted() -> FakeJournal:
    """A run whose facts are gone while it still holds its ring."""
    journal = FakeJournal()
    await journal.append("r2025a", 0, NOON, [Story().entries[0].fact])
    journal.facts.clear()
    return journal


async def test_a_start_says_a_damaged_run_and_takes_up_the_others() -> None:
    journal = await deleted()
    world, service = bot(journal)
    assert await recover(world, service) == ()
    assert isinstance(world.announcer, FakeAnnouncer)
    assert [found.run for found in world.announcer.told_damaged] == ["r2025a"]


async def test_everything_asked_of_a_deleted_run_is_answered_with_what_is_wrong() -> None:
    _, service = bot(await deleted())
    request = Request(
        command="/dovecot-upgrade", text="backend-1 restart=yes", requester=REQUESTER, team="T0", channel="C0"
    )
    with pytest.raises(Refused, match=r"(?s)^Ring main is claimed by run r2025a\..*no fact of it is there any more"):
        await service.request(request)
    with pytest.raises(Refused, match="no fact of it is there any more"):
        await service.entries("r2025a")
    assert [found.run for found in (await service.survey(open_only=True)).damaged] == ["r2025a"]
    assert (await service.survey()).runs == ()


async def test_once_it_was_released_its_ring_is_free_and_that_is_said() -> None:
    world, service = bot(await deleted())
    await service.release("r2025a", ENGINEER, "seen by hand")
    assert isinstance(world.announcer, FakeAnnouncer)
    (told,) = world.announcer.told_damaged
    assert told.release is not None
    assert (told.release.by, told.release.reason, told.rings) == (THIRD, "seen by hand", ("main",))
    assert (await service.survey(open_only=True)).damaged == ()
    with pytest.raises(Refused, match=f"was released by <@{THIRD}>"):
        await service.release("r2025a", ENGINEER, "me too")
    request = Request(
        command="/dovecot-upgrade", text="backend-1 restart=yes", requester=REQUESTER, team="T0", channel="C0"
    )
    assert await service.request(request) == "r2025b"
    with pytest.raises(Refused, match="Run r2025b is under way"):
        await service.release("r2025b", ENGINEER, "me too")
    await service.close()
