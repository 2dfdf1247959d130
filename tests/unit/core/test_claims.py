"""What a run holds besides its ring's name, from the facts alone."""

from __future__ import annotations

import pytest

from bot.core.hosts.inventory import Access
from bot.core.runs.events import HostsProved, RunHeld, SettingsChanged
from bot.core.runs.events.claims import claim_in_words, claims
from tests.build import Story


def test_a_run_claims_its_backends_address_and_the_directors_by_how_they_are_reached() -> None:
    request = Story().entries[0].fact
    assert claims(request) == ("backend 192.0.2.13", "ssh director-1", "ssh director-2")


def test_once_its_hosts_are_proved_it_claims_the_directors_by_what_they_call_themselves() -> None:
    proved = HostsProved(
        backend="backend-3",
        by="its machine-id",
        machine_id="0" * 32,
        boot_id="b",
        lock="/run/lock/x",
        directors={"director-1": "192.0.2.1:9090", "director-2": "192.0.2.2:9090"},
    )
    assert claims(proved) == ("director 192.0.2.1:9090", "director 192.0.2.2:9090")
    assert claims(RunHeld(reason="x")) == ()


def test_directors_that_are_reached_by_new_names_are_claimed_by_these_too() -> None:
    """Else another ring of the settings, behind the same directors, could be begun beside it."""
    ways = {"director-1": Access(ssh="Director-1-new", sudo=True, machine_id="")}
    changed = SettingsChanged(directors=ways, backends={"backend-3": ways["director-1"]}, stays=())
    assert claims(changed) == ("ssh director-1-new",)


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("backend 192.0.2.13", "the backend 192.0.2.13"),
        ("ssh director-1", "the director that `ssh director-1` reaches"),
        ("director 192.0.2.1:9090", "the director 192.0.2.1:9090"),
    ],
)
def test_what_is_claimed_is_said_in_words(key: str, said: str) -> None:
    assert claim_in_words(key) == said
