"""What of edited settings counts for a run that is open: how its hosts are reached, where that is safe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from bot.core.hosts.inventory import Access, Inventory, Ring
from bot.core.hosts.since import Since, reached, since
from tests.build import PROVED, ring, target

Table = dict[str, Any]


def now(
    change: Callable[[Table], object],
    machine_id: str | None = PROVED.machine_id,
    claimed: Mapping[str, str] = MappingProxyType({}),
) -> Since:
    """Since the settings were edited so."""
    table = ring().model_dump(mode="json")
    change(table)
    return since(target(), Inventory(rings=(Ring.model_validate(table),)), machine_id=machine_id, claimed=claimed)


def test_settings_that_are_the_same_say_nothing() -> None:
    """Also where `ssh` is now written out."""
    assert now(lambda _table: None) == Since()
    assert now(lambda table: table["directors"][0].update(ssh="director-1")) == Since()


def test_hosts_are_reached_as_the_settings_say_now_and_are_the_same_hosts() -> None:
    seen = now(lambda table: (table["directors"][0].update(ssh="one"), table["backends"][2].update(sudo=True)))
    assert seen.directors == {"director-1": Access(ssh="one", sudo=False, machine_id="")}
    assert seen.backends == {"backend-3": Access(ssh="backend-3", sudo=True, machine_id=PROVED.machine_id)}
    made = reached(target(), {**seen.directors, **seen.backends})
    assert [one.address for one in made.ring.directors] == ["one", "director-2"]
    assert made.backend == made.ring.backends[2]
    assert made.backend.sudo
    assert str(made.backend.ip) == "192.0.2.13"


def test_a_backend_of_another_address_is_another_backend() -> None:
    """Its name alone does not make it the one that the directors are told of."""
    seen = now(lambda table: table["backends"][1].update(ip="192.0.2.99", ssh="elsewhere"))
    assert seen.backends == {}
    assert seen.stays == ("ip of backend-2 is 192.0.2.99, and 192.0.2.12 for this run",)


def test_a_run_stays_on_the_machine_that_its_backend_proved_to_be() -> None:
    """A machine-id of the settings would prove any machine, and so would the address that one took over."""
    pinned = Access(ssh="elsewhere", sudo=False, machine_id="0" * 32)
    assert now(lambda table: table["backends"][2].update(ssh="elsewhere")) == Since(backends={"backend-3": pinned})
    seen = now(lambda table: table["backends"][2].update(ssh="elsewhere", machine_id="f" * 32))
    assert seen.backends == {"backend-3": pinned}
    assert seen.stays == (f"machine_id of backend-3 is {'f' * 32}, and this run is on the machine {'0' * 32}",)
    assert now(lambda table: table["backends"][2].update(machine_id="0" * 32)).backends
    assert now(lambda table: table["backends"][2].update(machine_id="f" * 32), machine_id="").backends, "not yet proved"


def test_a_machine_id_that_is_taken_out_of_the_settings_counts_for_the_run_all_the_same() -> None:
    had = target()
    own = had.backend.model_copy(update={"machine_id": "0" * 32})
    had = reached(had, {own.name: Access.of(own)})
    seen = since(had, Inventory(rings=(ring(),)), machine_id="0" * 32)
    assert seen == Since(stays=(f"machine_id of backend-3 is not set, and this run is on the machine {'0' * 32}",))


def test_a_director_that_another_run_claims_by_its_new_name_is_reached_as_before_and_the_others_are_not() -> None:
    def change(table: Table) -> None:
        table["directors"][0].update(ssh="one")
        table["directors"][1].update(ssh="two")

    seen = now(change, claimed={"director-1": "r2025b"})
    assert list(seen.directors) == ["director-2"]
    (said,) = seen.stays
    assert said.startswith("director-1 is reached as before, as ssh one is claimed by run r2025b")


def test_no_two_hosts_of_a_run_come_to_be_reached_by_one_name() -> None:
    """director-1 is gone from the settings, and another one has its name in the SSH config: it would count twice."""

    def change(table: Table) -> None:
        del table["directors"][0]
        table["directors"][0].update(ssh="director-1")

    seen = now(change)
    assert seen.directors == {}
    shared = "hosts are reached as before, as ring main: director-1 and director-2 share ssh director-1"
    assert seen.stays == ("director-1 was taken out of the directors", shared)


def test_directors_that_an_older_version_did_not_prove_are_reached_as_before() -> None:
    """Nothing would show that a new name leads to another one."""
    seen = now(lambda table: table["directors"][0].update(ssh="one"), machine_id=None)
    assert seen.directors == {}
    assert "without a proof" in seen.stays[0]


def test_a_ring_that_is_gone_or_renamed_is_found_by_the_runs_backend_and_said() -> None:
    assert now(lambda table: table.update(name="other")).stays == ("the ring is named other, and main for this run",)

    def change(table: Table) -> None:
        table.update(name="other")
        table["backends"].pop()

    assert now(change).stays == ("no ring has backend-3 (192.0.2.13) any more",)
