"""Who a host says that it is, and whether that proves it: on answers recorded from real hosts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bot.core.hosts.command import Result
from bot.core.hosts.identity import QUESTION, Identity, not_proved_to_be, read_identity
from bot.core.hosts.inventory import Backend, Director
from bot.errors import Unreadable
from tests.fakes import answered
from tests.unit.core.test_probes import RECORDED

MACHINE_ID = "4c4c4544005a4b108038b7c04f4d4a32"
OTHER_ID = "0123456789abcdef0123456789abcdef"
BOOT_ID = "de90e9de-9d1f-4ffd-b0b6-6a06a3b6a3a9"
IP_ADDRESS = (RECORDED / "ip-address.json").read_text()
LINK_LOCAL = {"fe80::1461:f2ff:fe2e:935a", "fe80::4012:3ff:fe4a:cab7"}
BACKEND = Backend.model_validate({"name": "backend-3", "ip": "192.0.2.13"})


def answer(connection: str = "10.0.0.5 50122 192.0.2.13 22", addresses: str = IP_ADDRESS) -> Result:
    return said(f"{connection}\n{MACHINE_ID}\n{BOOT_ID}\n{addresses}")


def said(text: str) -> Result:
    return answered(BACKEND, QUESTION, text)


def identity(**changed: Any) -> Identity:
    usual = Identity(connection="c", reached="", addresses=frozenset(), machine_id=MACHINE_ID, boot_id=BOOT_ID)
    return replace(usual, **changed)


# reading


def test_a_host_says_where_it_was_reached_what_it_has_and_which_machine_it_is() -> None:
    assert read_identity("backend-3#1", answer()) == Identity(
        connection="backend-3#1",
        reached="192.0.2.13",
        addresses=frozenset({"127.0.0.1", "198.51.100.7", "::1", "192.0.2.13", "2001:db8::13", *LINK_LOCAL}),
        machine_id=MACHINE_ID,
        boot_id=BOOT_ID,
    )


@pytest.mark.parametrize(
    ("connection", "reached"),
    [
        ("10.0.0.5 50122 192.0.2.13 22", "192.0.2.13"),
        ("2001:db8::5 50122 2001:db8::13 22", "2001:db8::13"),
        ("2001:db8::5 50122 2001:0DB8:0::0013 22", "2001:db8::13"),
        ("::ffff:10.0.0.5 50122 ::ffff:192.0.2.13 22", "192.0.2.13"),
        ("fe80::1%eth0 50122 fe80::13%eth0 22", "fe80::13"),
        ("UNKNOWN 65535 UNKNOWN 65535", ""),
        ("", ""),
    ],
)
def test_an_address_is_the_same_however_sshd_writes_it(connection: str, reached: str) -> None:
    """An sshd that listens on both kinds writes IPv4 as IPv6; the inventory does not."""
    assert read_identity("c", answer(connection)).reached == reached


@pytest.mark.parametrize("addresses", ["[]", "", "sh: 1: ip: not found", '[{"addr_info": [{}]}]', "[3]", "{}", '["x"]'])
def test_without_ip_a_host_still_says_what_else_it_is(addresses: str) -> None:
    read = read_identity("c", answer(addresses=f"{addresses}\n[]" if addresses != "[]" else addresses))
    assert (read.reached, read.addresses) == ("192.0.2.13", frozenset())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no such command",
        f"10.0.0.5 1 192.0.2.13 22\n{MACHINE_ID}\n{BOOT_ID}\n"[:-1],
        f"10.0.0.5 1 192.0.2.13 22\nuninitialized\n{BOOT_ID}\n[]",
        f"10.0.0.5 1 192.0.2.13 22\n{BOOT_ID}\n[]\n[]",
        f"Welcome!\n10.0.0.5 1 192.0.2.13 22\n{MACHINE_ID}\n{BOOT_ID}\n[]",
    ],
)
def test_what_does_not_say_all_of_who_it_is_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable, match="backend-3 does not say who it is"):
        read_identity("c", said(text))


# proving


@pytest.mark.parametrize(
    "proof",
    [identity(reached="192.0.2.13"), identity(addresses=frozenset({"127.0.0.1", "192.0.2.13"}), reached="10.9.9.9")],
)
def test_a_backend_is_proved_by_the_address_that_the_directors_know_it_by(proof: Identity) -> None:
    assert not_proved_to_be(BACKEND, proof) == ""


def test_an_ipv6_backend_is_proved_however_its_address_is_written() -> None:
    backend = Backend.model_validate({"name": "backend-3", "ip": "2001:0DB8::0013"})
    assert not_proved_to_be(backend, read_identity("c", answer("2001:db8::5 1 2001:db8::13 22", "[]"))) == ""


def test_another_backend_is_objected_to_and_both_ways_to_mend_it_are_said() -> None:
    """Wrong are the settings, or the address is translated on the way: only a person knows which."""
    text = not_proved_to_be(BACKEND, identity(reached="192.0.2.14", addresses=frozenset({"192.0.2.14", "127.0.0.1"})))
    assert "`ssh backend-3` reaches does not prove to be backend-3: it has 127.0.0.1, 192.0.2.14, and" in text
    assert "know backend-3 as 192.0.2.13. Nothing is changed there." in text
    assert "correct `ssh` of backend-3 (or its HostName in the SSH config)" in text
    assert f'set `machine_id = "{MACHINE_ID}"` once you have seen that this is backend-3' in text


def test_a_backend_that_names_no_address_proves_nothing() -> None:
    assert "it has no address that could be read" in not_proved_to_be(BACKEND, identity())


def test_a_machine_id_in_the_settings_proves_alone() -> None:
    """Where addresses are translated, the backend cannot know what the directors call it."""
    for host in (BACKEND, Director(name="director-1")):
        known = host.model_copy(update={"machine_id": MACHINE_ID})
        assert not_proved_to_be(known, identity(reached="10.9.9.9")) == ""


def test_another_machine_id_is_objected_to_even_at_the_right_address() -> None:
    """A reinstalled or cloned machine took the address: somebody must have looked at it."""
    for host in (BACKEND, Director(name="director-1")):
        text = not_proved_to_be(host.model_copy(update={"machine_id": OTHER_ID}), identity(reached="192.0.2.13"))
        assert f"{host.name} is another machine: its machine-id is {MACHINE_ID}, and has to be {OTHER_ID}" in text
        assert (
            f"correct `ssh` of {host.name} (or its HostName in the SSH config), or `machine_id` in the settings" in text
        )


def test_a_director_without_a_machine_id_is_not_objected_to() -> None:
    """Which member of the ring it is, its own row in the ring's status says."""
    assert not_proved_to_be(Director(name="director-1"), identity()) == ""
