"""Who asks for a run on something that another run holds is told what it is, and by whom, in the service's words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core.hosts.command import Command
from bot.core.hosts.inventory import Host, Inventory, Ring
from bot.core.runs.run import Run
from bot.engine.planning import Catalogue, Request
from bot.engine.recovery import recover
from bot.engine.service import Service
from bot.errors import NotRun, Refused
from bot.practice.ring.packages import NEW, OLD
from tests.build import REQUESTER, Story, library, ring
from tests.fakes import (
    MORNING,
    FakeHosts,
    FakeJournal,
    fake_ports,
)


def service(journal: FakeJournal, rings: tuple[Ring, ...], hosts: FakeHosts | None = None) -> Service:
    catalogue = Catalogue(inventory=Inventory(rings=rings), procedures=library().procedures, rules=library().rules)
    return Service(fake_ports(journal, hosts), catalogue, lambda: "r2025b")


async def refusal(backend: str, *rings: Ring) -> str:
    """What is told while run r2025a is on backend-3 of ring main."""
    journal = FakeJournal()
    await journal.append("r2025a", 0, MORNING, [Story().entries[0].fact])
    request = Request(
        command="/dovecot-upgrade", text=f"{backend} restart=yes", requester=REQUESTER, team="T0", channel="C0"
    )
    with pytest.raises(Refused) as told:
        await service(journal, rings).request(request)
    return str(told.value)


async def test_whoever_asks_for_a_claimed_ring_is_told_its_name() -> None:
    told = await refusal("backend-1", ring())
    assert told.startswith(
        f"Ring main is claimed by run r2025a on backend-3, asked for by <@{REQUESTER}> since 2026-03-02"
    )


async def test_where_another_ring_of_the_settings_is_claimed_it_is_said_what_the_two_share() -> None:
    """`Ring other is claimed` would not be true: it is the director."""
    told = await refusal("backend-9", other_ring(ssh="director-2"))
    assert told.startswith(
        "The director that `ssh director-2` reaches is claimed by run r2025a on backend-3 of ring main,"
    )


async def test_a_backend_of_two_rings_is_named_by_its_address() -> None:
    told = await refusal("backend-9", other_ring(ip="192.0.2.13"))
    assert told.startswith("The backend 192.0.2.13 is claimed by run r2025a on backend-3 of ring main,")


@pytest.mark.parametrize("gone", [False, True])
async def test_a_claimed_ring_is_told_before_any_host_is_read(gone: bool) -> None:
    """Reading what apt offers takes a while, and a host that is away would be what is told instead."""
    journal = FakeJournal()
    await journal.append("r2025a", 0, MORNING, [Story().entries[0].fact])
    if gone:
        journal.facts["r2025a"] = []
    for backend, rings in (("backend-1", ring()), ("backend-9", other_ring(ssh="director-2"))):
        hosts = FakeHosts(lambda _host, _command: NotRun("it is away"))
        with pytest.raises(Refused, match="is claimed by run r2025a"):
            await service(journal, (rings,), hosts).request(bare(backend))
        assert hosts.log == []


async def test_what_is_mistyped_is_told_before_who_claims_the_ring() -> None:
    journal = FakeJournal()
    await journal.append("r2025a", 0, MORNING, [Story().entries[0].fact])
    with pytest.raises(Refused, match=r"(?i)backend-7"):
        await service(journal, (ring(),)).request(bare("backend-7"))


async def test_a_ring_that_is_taken_while_hosts_are_read_is_told_as_well() -> None:
    journal = FakeJournal()

    async def meanwhile(_host: Host, _command: Command) -> str:
        if not journal.facts:
            await journal.append("r2025a", 0, MORNING, [Story().entries[0].fact])
        return f"dovecot-core\t{OLD}\tinstalled\n"

    hosts = FakeHosts(meanwhile)
    request = replace(bare("backend-1"), text=f"backend-1 config=keep packages=dovecot-core={NEW}")
    with pytest.raises(Refused, match=r"^Ring main is claimed by run r2025a on backend-3"):
        await service(journal, (ring(),), hosts).request(request)
    assert hosts.log


async def test_a_director_by_whose_new_name_another_run_reaches_one_is_reached_as_before_and_that_is_said() -> None:
    """The settings were edited while both are open, and the bot was started anew."""
    journal = FakeJournal()
    story = Story()
    await journal.append("r2025a", 0, MORNING, [story.entries[0].fact])
    journal.claims["ssh director-9"] = "r2025b"
    table = ring().model_dump(mode="json")
    table["directors"][0]["ssh"] = "director-9"
    world = fake_ports(journal)
    taken: list[Run] = []

    class Starting:
        take_up = staticmethod(taken.append)
        inventory = Inventory(rings=(Ring.model_validate(table),))

    assert await recover(world, Starting()) == ("r2025a",)  # type: ignore[arg-type] # all that is asked of it
    assert [run.target for run in taken] == [story.run.target]
    assert taken[0].settings is not None
    (said,) = taken[0].settings.stays
    assert said.startswith("director-1 is reached as before, as ssh director-9 is claimed by run r2025b")
    known = len(journal.facts["r2025a"])
    await recover(world, Starting())  # type: ignore[arg-type] # all that is asked of it
    assert len(journal.facts["r2025a"]) == known, "said once"


def bare(backend: str) -> Request:
    return Request(command="/dovecot-upgrade", text=backend, requester=REQUESTER, team="T0", channel="C0")


def other_ring(ssh: str = "director-9", ip: str = "192.0.2.19") -> Ring:
    table: dict[str, Any] = {
        "name": "other",
        "test_user": "probe@example.org",
        "directors": [{"name": "director-9", "ssh": ssh}],
        "backends": [{"name": "backend-9", "ip": ip}, {"name": "backend-8", "ip": "192.0.2.18"}],
    }
    return Ring.model_validate(table)
