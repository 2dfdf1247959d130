"""Which hosts the settings may name twice, and which never: what is told names both and what they share."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bot import offline
from bot.config import read_settings
from bot.core.hosts.inventory import Inventory, Ring
from bot.core.runs.events import RunRequested, body_of, fact_from
from bot.errors import Misconfigured, Refused
from tests.build import Story, ring
from tests.unit.test_config import GOOD, settings

ONE, OTHER = "1" * 32, "2" * 32
DIRECTORS = 'directors = [{name = "director-1"}, {name = "director-2"}]'
SECOND_RING = f"""
[[rings]]
name = "tagged"
test_user = "probe@example.org"
{DIRECTORS}
backends = [{{name = "backend-8", ip = "192.0.2.18"}}, {{name = "backend-9", ip = "192.0.2.19"}}]
"""


def mistakes(tmp_path: Path, text: str) -> str:
    with pytest.raises(Misconfigured) as told:
        read_settings(settings(tmp_path, text))
    return str(told.value)


def with_host(name: str, more: str, text: str = GOOD) -> str:
    """The settings with more said of one host, the last time that it stands there."""
    before, named, after = text.rpartition(f'name = "{name}"')
    return f"{before}{named}, {more}{after}"


def test_a_near_miss_of_a_backends_name_is_told_with_the_one_that_is_meant(tmp_path: Path) -> None:
    inventory = read_settings(settings(tmp_path, GOOD)).inventory
    for typed in ("Backend-2", "backnd-2"):
        with pytest.raises(Refused, match=r"Did you mean backend-2\? There are: backend-1, backend-2"):
            inventory.find(typed)


@pytest.mark.parametrize(
    ("take_down", "metacache", "first"),
    [
        (None, {}, False),
        (None, None, True),
        ("runbook", {}, False),
        ("runbook", None, False),
        ("move-first", {}, True),
        ("move-first", None, True),
    ],
)
def test_users_are_moved_first_where_it_is_said_so_or_there_is_no_metacache_to_flush_and_nothing_is_said(
    take_down: str | None, metacache: dict[str, object] | None, first: bool
) -> None:
    """The runbook wants the metacache flushed by the stop before anybody opens the mailbox elsewhere."""
    table = ring(metacache=False).model_dump() | {"take_down": take_down, "metacache": metacache}
    assert Ring.model_validate(table).moves_first is first


# within a ring


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (("backend-2", 'ssh = "backend-1"'), None, "backend-1 and backend-2 share ssh backend-1"),
        (("director-2", 'ssh = "d.example"'), ("director-1", 'ssh = "d.example"'), "share ssh d.example"),
        (("director-2", 'ssh = "backend-2"'), None, "director-2 and backend-2 share ssh backend-2"),
        (("director-2", 'ssh = "BACKEND-2"'), None, "director-2 and backend-2 share ssh backend-2"),
        (
            ("director-1", f'machine_id = "{ONE}"'),
            ("backend-2", f'machine_id = "{ONE}"'),
            f"director-1 and backend-2 share machine_id {ONE}",
        ),
    ],
)
def test_no_two_hosts_of_a_ring_are_one_machine(
    tmp_path: Path, first: tuple[str, str], second: tuple[str, str] | None, said: str
) -> None:
    """Seen: two backends with one ssh name; the bot drained the one and stopped the other with all its users."""
    text = with_host(*first)
    told = mistakes(tmp_path, with_host(*second, text) if second else text)
    assert said in told
    assert "bot.toml: rings.0: " in told
    assert len(told.splitlines()) == 1


def test_no_two_backends_of_a_ring_share_an_address(tmp_path: Path) -> None:
    told = mistakes(tmp_path, GOOD.replace("192.0.2.11", "2001:db8::2"))
    assert "ring main: backend-1 and backend-2 share ip 2001:db8::2" in told


def test_an_ipv4_address_in_the_writing_of_ipv6_is_the_same_address(tmp_path: Path) -> None:
    told = mistakes(tmp_path, GOOD.replace("2001:db8::2", "::ffff:192.0.2.11"))
    assert "backend-1 and backend-2 share ip 192.0.2.11" in told


def test_all_that_hosts_share_is_told_at_once(tmp_path: Path) -> None:
    text = with_host("backend-2", 'ssh = "backend-1"', GOOD).replace('name = "director-2"', 'name = "director-1"')
    told = mistakes(tmp_path, text)
    assert "share ssh backend-1" in told
    assert "ring main: host named twice: director-1" in told


def test_hosts_without_a_machine_id_share_nothing(tmp_path: Path) -> None:
    read_settings(settings(tmp_path, with_host("backend-1", f'machine_id = "{ONE}"')))


# over all rings


def test_two_rings_of_the_settings_may_have_the_same_directors(tmp_path: Path) -> None:
    """Tags: the backends of each are another ring's."""
    read = read_settings(settings(tmp_path, GOOD + SECOND_RING))
    assert read.inventory.find("backend-9").ring.directors == read.inventory.find("backend-1").ring.directors


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ('ssh = "elsewhere"', "ssh director-2 in ring main, elsewhere in ring tagged"),
        ("sudo = true", "sudo no in ring main, yes in ring tagged"),
        (f'machine_id = "{ONE}"', f"machine_id not set in ring main, {ONE} in ring tagged"),
    ],
)
def test_a_director_of_two_rings_is_the_same_in_both(tmp_path: Path, more: str, said: str) -> None:
    told = mistakes(tmp_path, with_host("director-2", more, GOOD + SECOND_RING))
    assert f"director-2 is not the same in two rings: {said}" in told


def test_the_ssh_name_may_be_left_out_where_it_is_the_directors_name(tmp_path: Path) -> None:
    read_settings(settings(tmp_path, with_host("director-2", 'ssh = "director-2"', GOOD + SECOND_RING)))


@pytest.mark.parametrize(("name", "both"), [("backend-9", "backend-1"), ("backend-9", "director-1")])
def test_a_backend_has_a_name_of_its_own_over_all_rings(tmp_path: Path, name: str, both: str) -> None:
    """It is what people type: it must mean one host."""
    text = SECOND_RING.replace(f'name = "{name}"', f'name = "{both}"').replace(DIRECTORS, 'directors = [{name = "d9"}]')
    assert f"host named twice: {both}, in ring main and in ring tagged" in mistakes(tmp_path, GOOD + text)


def test_no_two_hosts_share_a_machine_id_in_whatever_rings(tmp_path: Path) -> None:
    """Cloned machines: one of them would pass for the other."""
    text = with_host(
        "backend-9", f'machine_id = "{ONE}"', with_host("backend-2", f'machine_id = "{ONE}"') + SECOND_RING
    )
    assert f"backend-2 and backend-9 share machine_id {ONE}" in mistakes(tmp_path, text)
    told = settings(tmp_path, text.replace(ONE, OTHER, 1))
    read_settings(told)


def test_a_director_of_two_rings_does_not_share_its_machine_id_with_itself(tmp_path: Path) -> None:
    ring = SECOND_RING.replace('name = "director-1"', f'name = "director-1", machine_id = "{ONE}"')
    read_settings(settings(tmp_path, with_host("director-1", f'machine_id = "{ONE}"') + ring))


def test_the_sudo_rules_of_a_director_are_for_the_backends_of_all_its_rings(tmp_path: Path) -> None:
    read = read_settings(settings(tmp_path, GOOD + SECOND_RING))
    rules = offline.sudo_rules(read, "director-1", "bot").splitlines()
    for ip in (r"192\.0\.2\.11", r"192\.0\.2\.19"):
        assert any(f"director update {ip} 0$" in rule for rule in rules)
    assert len(rules) == len(set(rules))
    assert sum(rule.startswith("#") for rule in rules) == 1


@pytest.mark.parametrize(
    "user", ["ALL", "", "a b", "x ALL=(ALL) NOPASSWD: ALL\nbot", "bot\n", "ADMINS", "%wheel", "#0"]
)
def test_sudo_rules_are_for_one_user_with_a_plain_name(tmp_path: Path, user: str) -> None:
    """They go to /etc/sudoers.d: with `ALL`, or a group, everybody on the host could do what the bot does."""
    with pytest.raises(Refused, match="no plain name"):
        offline.sudo_rules(read_settings(settings(tmp_path, GOOD)), "director-1", user)


# how many others have to be usable


def test_one_other_backend_has_to_be_usable_unless_the_settings_say_more(tmp_path: Path) -> None:
    read = read_settings(settings(tmp_path, GOOD))
    assert read.rings[0].usable_others == 1


@pytest.mark.parametrize(("number", "said"), [(0, "rings.0.usable_others"), (2, "there is 1 other backend")])
def test_as_many_others_as_there_are_can_be_usable_at_most(tmp_path: Path, number: int, said: str) -> None:
    text = GOOD.replace('name = "main"', f'name = "main"\nusable_others = {number}')
    assert said in mistakes(tmp_path, text)


# facts of before


def test_a_run_on_hosts_that_the_settings_would_not_name_today_can_still_be_read() -> None:
    """Its request is in the journal: what was allowed then must not damage it now."""
    body = json.loads(body_of(Story().entries[0].fact))
    ring = body["target"]["ring"]
    for part in (ring, *ring["directors"], *ring["backends"]):
        part.pop("usable_others", None)
        part.pop("machine_id", None)
    ring["directors"][1]["ssh"] = "director-1"
    ring["backends"][1]["ssh"] = "backend-1"
    read = fact_from("RunRequested", json.dumps(body))
    assert isinstance(read, RunRequested)
    with pytest.raises(ValueError, match="director-1 and director-2 share ssh director-1"):
        Inventory(rings=(read.target.ring,))


@pytest.mark.parametrize("unit", ["dovecot", "dovecot.service"])
def test_dovecot_itself_is_not_the_unit_that_flushes_its_metacache(tmp_path: Path, unit: str) -> None:
    """Active before each stop and inactive after it: all of the metacache would be deleted, flushed or not."""
    named = GOOD.replace('name = "main"', f'name = "main"\nmetacache = {{flush_unit = "{unit}"}}')
    assert "metacache.flush_unit is dovecot's own unit" in mistakes(tmp_path, named)


def test_imap_and_lmtp_do_not_greet_on_one_port(tmp_path: Path) -> None:
    ports = GOOD.replace('name = "main"', 'name = "main"\nlmtp_port = 143')
    assert "imap_port and lmtp_port are both 143" in mistakes(tmp_path, ports)


def test_no_machine_is_two_backends_of_two_rings(tmp_path: Path) -> None:
    """By whatever address its directors know it: it would be out twice."""
    other = SECOND_RING.replace("director-", "director-7")
    assert "backend-1 and backend-8 share ssh backend-1" in mistakes(
        tmp_path, with_host("backend-8", 'ssh = "backend-1"', GOOD + other)
    )
