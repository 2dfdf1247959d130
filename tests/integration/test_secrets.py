"""Nothing that is secret comes out, whatever it was planted in and whichever way it could take; one test for all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot.adapters.configs import FolderProposals
from bot.adapters.ssh.hosts import _Request
from bot.config import Tokens
from bot.core.decisions.approval import Person
from bot.core.hosts.command import Command
from bot.core.hosts.inventory import Inventory
from bot.core.readings import difference
from bot.core.text.redact import redact, redact_in_words
from bot.engine.planning import Catalogue, Request
from bot.engine.ports import Ports, Timings
from bot.engine.service import Service
from tests.build import REQUESTER, SECOND, library, target
from tests.fakes import (
    FakeAlarms,
    FakeAnnouncer,
    FakeClock,
    FakeHosts,
    FakeJournal,
    FakePeople,
    FakeProposals,
    answered,
)
from tests.integration import planted
from tests.integration.workspace import Place, begun, place, slack
from tests.unit.test_typed import typed

__all__ = ["place", "slack"]


async def test_no_secret_comes_out_whatever_it_was_planted_in() -> None:
    """Thread, answers, files, journal, record, the command line, the log, and what objects say of themselves."""
    outside = await asyncio.wait_for(planted.played(), 120)
    assert all(outside.values())
    for listed in (
        "changed: parts.txt",
        "changed: private/passphrase (its content",
        "added: evil.conf.ext (a link",
    ):
        assert listed in outside["files"], "what is compared is there to be looked at"
    assert sorted(set(planted.leaks(outside))) == []


def _shown(text: str, **_how: bool) -> str:
    return text


HIDES: dict[str, Callable[..., object]] = {
    "bot.adapters.slack.inbound.answers.redact_in_words": _shown,
    "bot.bootstrap.redact": _shown,
    "bot.core.hosts.command.redact": _shown,
    "bot.core.readings.difference.redact": _shown,
    "bot.core.readings.difference.is_secret": lambda _path: False,
    "bot.core.readings.difference._is_kept_from_others": lambda _path, _side: False,
    "bot.core.plans.proposal.redact": _shown,
    "bot.core.plans.proposal.holds_token": lambda _text: False,
    "bot.engine.runs.judging.redact": _shown,
    "bot.engine.looks.reading.redact": _shown,
    "bot.engine.bringing.redact": _shown,
    "bot.engine.looks.proving.redact": _shown,
    "bot.engine.service.redact": _shown,
}
"""What hides, by where it is used, and what stands in its place where it is taken away."""


async def test_all_that_was_planted_comes_out_where_nothing_hides_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the look above would say that all is well also of what never came near a way out."""
    for name, instead in HIDES.items():  # hiding is no port: what is asked is what comes out without it
        monkeypatch.setattr(name, instead)
    # A part of the command itself, which no fake stands before: with it, diff follows no link to a secret file.
    monkeypatch.setattr(difference, "SCRIPT", difference.SCRIPT.replace(" --no-dereference", ""))
    out = {place for _, place in planted.leaks(await asyncio.wait_for(planted.played(), 120))}
    assert out == {*planted.SECRETS, "part of a key"} - {"settings"}


async def test_each_place_that_redacts_has_something_to_redact(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the first test fails when one of them is taken away."""
    hid: set[str] = set()

    def noting(name: str) -> Callable[..., str]:
        hides: Callable[..., str] = redact_in_words if name.endswith("words") else redact

        def noted(text: str, **how: bool) -> str:
            told = hides(text, **how)
            if set(planted.leaks({"": text})) - set(planted.leaks({"": told})):
                hid.add(name)
            return told

        return noted

    used = {name for name in HIDES if ".redact" in name}
    for name in used:  # it is watched where it stands, as it is no port
        monkeypatch.setattr(name, noting(name))
    await asyncio.wait_for(planted.played(), 120)
    assert hid == used


SECRET = "pl4nted-elsewhere"


async def test_no_object_says_what_secret_it_holds(tmp_path: Path) -> None:
    """A traceback, an assertion or a debugger shows objects as they show themselves."""
    (tmp_path / "review").mkdir()
    (tmp_path / "review/dovecot.conf").write_text(SECRET)
    proposals = FolderProposals(tmp_path)
    backend, command = target().backend, Command(argv=("true",))
    holding = [
        answered(backend, command, SECRET, stderr=SECRET),
        await proposals.proposal("review"),
        proposals._read("review"),
        _Request(host=backend, command=command, material=SECRET.encode()),
        Request(command="/dovecot-upgrade", text=SECRET, requester=REQUESTER, team="T0", channel="C0"),
        *typed(SECRET),
        Tokens(bot_token=SecretStr(f"xoxb-{SECRET}"), app_token=SecretStr(f"xapp-{SECRET}")),
    ]
    assert [one for one in holding if SECRET in repr(one) or SECRET in str(one)] == []


async def test_what_stands_in_no_journal_is_said_without_its_secrets(place: Place) -> None:
    """Such as what a database says when it cannot write."""
    await place.tell(begun())
    place.thread.warn(place.run, f"This run cannot go on: password = {SECRET}")
    await place.slack.until(lambda: any("cannot go on" in one.text for one in place.slack.messages))
    assert SECRET not in str([one.text for one in place.slack.messages])


async def test_the_reason_for_releasing_a_damaged_run_is_kept_without_its_secrets() -> None:
    clock, journal, announcer = FakeClock(), FakeJournal(rings={"main": "r234567"}), FakeAnnouncer()
    world = Ports(
        journal=journal,
        hosts=FakeHosts(lambda _host, _command: None),
        announcer=announcer,
        alarms=FakeAlarms(clock),
        clock=clock,
        people=FakePeople(),
        proposals=FakeProposals(),
        timings=Timings(),
    )
    catalogue = Catalogue(
        inventory=Inventory(rings=(target().ring,)), procedures=library().procedures, rules=library().rules
    )
    person = Person(id=SECOND, may_ask=True, may_approve=True)
    await Service(world, catalogue, lambda: "r2").release("r234567", person, f"I looked, password = {SECRET}")
    assert "I looked" in journal.releases["r234567"].reason
    assert SECRET not in f"{journal.releases}{announcer.told_damaged}"
