"""What a form offers: how each backend stands, as far as a ring says so soon, and what a run would bring it."""

from __future__ import annotations

import asyncio
import os
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from bot.adapters.configs import FolderProposals
from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Backend, Director, Host, Inventory, Ring
from bot.core.plans.proposal import PackageChange, Proposal
from bot.core.readings.outputs import Reading, listed_hosts
from bot.engine import offering
from bot.engine.bringing import Brought
from bot.engine.offering import brought_in_lines, standing
from bot.errors import NotRun
from tests.build import ring
from tests.fakes import FakeHosts

RING = ring()
STATUS = (
    "mail server ip\ttag\tvhosts\tstate\tstate changed\tusers\n"
    f"{RING.backends[0].ip}\t\t100\tup\t0\t14\n{RING.backends[1].ip}\t\t0\tdown\t0\t0\n"
)


def large(at: int) -> Ring:
    """One of several rings, with its own backends."""
    backends = tuple(Backend(name=f"b-{at}-{n}", ip=IPv4Address(f"198.51.{at}.{n}")) for n in range(1, 100))
    return RING.model_copy(
        update={"name": f"ring-{at}", "directors": (Director(name=f"director-{at}"),), "backends": backends}
    )


async def states(hosts: FakeHosts, held: str = "") -> dict[str, str]:
    found = await standing(Inventory(rings=(RING,)), hosts, {RING.name: held} if held else {})
    return {one.backend: one.state for one in found[RING.name]}


async def test_a_backend_stands_as_the_first_director_that_answers_has_it() -> None:
    def script(host: Host, _command: Command) -> str | Exception:
        return NotRun("it is away") if host is RING.directors[0] else STATUS

    found = list((await states(FakeHosts(script))).values())
    assert found[:2] == ["up, vhosts 100, 14 users", "down, vhosts 0, 0 users"]
    assert set(found[2:]) == {"not known now"}, "the director does not list them"
    assert set((await states(FakeHosts(lambda _host, _command: "?"))).values()) == {"not known now"}


async def test_an_answer_is_read_once_for_all_backends_and_others_have_their_turn_between_two_rings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bare `/dovecot-upgrade`, and each choice in its menu, looks at every ring; other runs' users wait meanwhile."""
    rings = tuple(large(at) for at in range(3))
    rows = [f"{one.ip}\t\t100\tup\t0\t14" for ring in rings for one in ring.backends]
    status = "\n".join([STATUS.split("\n", 1)[0], *rows])
    turn, read_in = 0, []

    async def other_work() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    def read(result: Result) -> dict[str, Reading]:
        read_in.append(turn)
        return listed_hosts(result)

    # No port stands there: what is asked is how often, and in how many turns of the loop, it is read.
    monkeypatch.setattr(offering, "listed_hosts", read)
    other = asyncio.create_task(other_work())
    found = await standing(Inventory(rings=rings), FakeHosts(lambda _host, _command: status), {})
    other.cancel()
    assert [offered[0].state for offered in found.values()] == ["up, vhosts 100, 14 users"] * 3
    assert len(read_in) == len(set(read_in)) == 3


async def test_a_row_that_says_nothing_of_its_backend_hides_no_other() -> None:
    hosts = FakeHosts(lambda _host, _command: STATUS.replace("\t14\n", "\t?\n"))
    assert list((await states(hosts)).values())[:2] == ["not known now", "down, vhosts 0, 0 users"]


async def test_where_a_run_claims_the_ring_no_host_is_asked_and_that_is_said() -> None:
    hosts = FakeHosts(lambda _host, _command: STATUS)
    assert set((await states(hosts, held="r7")).values()) == {"its ring is claimed by run r7"}
    assert hosts.log == []


async def test_the_configuration_that_was_changed_last_is_the_first(tmp_path: Path) -> None:
    """A menu has room for the first hundred."""
    for at, name in enumerate(("spring", "autumn", "summer")):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (at, at))
    assert await FolderProposals(tmp_path).names() == ["summer", "autumn", "spring"]


def test_what_a_run_brings_is_a_line_per_change_and_files_not_their_lines() -> None:
    names = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")
    packages = tuple(PackageChange(name=name, version="u7", before="u6") for name in names)
    kept = PackageChange(name="dovecot-ldap", version="u6", before="u6")
    files = "changed 2 (a, b), added none, removed none"
    brought = Brought(proposal=Proposal(name="spring", digest="c0"), packages=(*packages, kept), files=files)
    assert brought_in_lines(brought) == ("dovecot-core and 2 more: u6 → u7", f"spring: files {files}")
