"""What a bare command brings a backend to: by apt's own answers, never a lower version, and below 2.4."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from bot.__main__ import _print_plan
from bot.adapters.slack.messages.plans import plan_text
from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Host
from bot.core.plans.dryrun import DryRun
from bot.core.plans.proposal import read_request
from bot.engine.bringing import Bringing, Brought
from bot.errors import NotRun, Refused
from tests.build import library, plan, target
from tests.fakes import FakeHosts, FakeProposals, answered

OLD, NEW, NEWEST = "1:2.3.19.1-1", "1:2.3.19.1-2", "1:2.3.21-1"
NAMES = ("dovecot-core", "dovecot-imapd")


def policy(name: str, candidate: str, *versions: str, installed: str = OLD) -> str:
    """`apt-cache policy`, its table from the newest version to the oldest."""
    rows = "".join(
        f" {'***' if version == installed else '   '} {version} 500\n        500 a mirror\n" for version in versions
    )
    return f"{name}:\n  Installed: {installed}\n  Candidate: {candidate}\n  Version table:\n{rows}"


async def brought(
    offers: Mapping[str, str], text: str = "backend-3", installed: str = OLD
) -> tuple[Brought, list[tuple[str, str]]]:
    """What was found out, and what was asked."""

    def script(_host: Host, command: Command) -> str | NotRun:
        if command.argv[0] == "dpkg-query":
            return "".join(f"{name}\t{installed}\tinstalled\n" for name in NAMES)
        return "".join(offers.values()) if command.argv[0] == "apt-cache" else NotRun("nothing else is asked")

    hosts = FakeHosts(script)
    found = await Bringing(hosts, FakeProposals()).of(library().procedures[0], read_request(text), target())
    return found, hosts.log


async def refused(offers: Mapping[str, str], text: str = "backend-3", installed: str = OLD) -> str:
    with pytest.raises(Refused) as told:
        await brought(offers, text, installed)
    return str(told.value)


def both(candidate: str, *versions: str) -> dict[str, str]:
    return {name: policy(name, candidate, *versions) for name in NAMES}


async def test_every_installed_package_is_brought_to_what_apt_offers() -> None:
    found, _ = await brought(both(NEW, NEW, OLD))
    assert [(one.name, one.before, one.version) for one in found.packages] == [(name, OLD, NEW) for name in NAMES]


async def test_a_pin_is_honoured_that_holds_a_newer_version_back() -> None:
    found, _ = await brought(both(NEW, NEWEST, NEW, OLD))
    assert {one.version for one in found.packages} == {NEW}


async def test_a_package_whose_candidate_is_no_newer_stays() -> None:
    found, _ = await brought(both(NEW, NEW, OLD) | {"dovecot-imapd": policy("dovecot-imapd", OLD, NEW, OLD)})
    assert [one.name for one in found.packages] == ["dovecot-core"]


async def test_a_pin_to_a_lower_version_lowers_nothing() -> None:
    """`apt-get install NAME` would; a bare command is an upgrade."""
    told = await refused(both("1:2.3.13-1", OLD, "1:2.3.13-1"))
    assert "Nothing would change on backend-3, so nothing was begun" in told
    assert OLD in told


@pytest.mark.parametrize("version", ["1:2.4.0-1", "2.4.1+dfsg1-6", "1:2.10.0-1"])
async def test_dovecot_2_4_is_refused_with_what_can_be_done(version: str) -> None:
    told = await refused(both(version, version, OLD))
    assert f"apt offers dovecot-core={version}, and from Dovecot 2.4 on there are no directors" in told
    assert "Pin it, or name the versions: packages=NAME=VERSION,…" in told


async def test_answers_that_do_not_go_together_are_no_basis_for_a_plan() -> None:
    told = await refused({name: policy(name, NEW, NEW, OLD, installed=NEW) for name in NAMES})
    assert "do not agree on which dovecot-core is installed" in told


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("backend-3 packages=keep config=keep", "stays, as you say; the configuration stays, as you say"),
        ("backend-3 packages=keep", "the settings propose no configuration for ring main"),
    ],
)
async def test_where_nothing_would_change_it_is_said_what_is_installed(text: str, said: str) -> None:
    told = await refused(both(NEW, NEW, OLD), text)
    assert f"dovecot-core, dovecot-imapd {OLD}" in told
    assert said in told
    assert "restart=yes" in told


async def test_where_the_host_cannot_be_read_nothing_is_begun() -> None:
    hosts = FakeHosts(lambda _host, _command: NotRun("backend-3: no SSH connection"))
    bringing = Bringing(hosts, FakeProposals())
    with pytest.raises(Refused, match=r"Nothing was begun: what backend-3 has now cannot be read.*no SSH connection"):
        await bringing.of(library().procedures[0], read_request("backend-3"), target())


@pytest.mark.parametrize("option", ["packages=keep restart=yes", "restart=yes"])
async def test_a_restart_brings_nothing_and_asks_no_host(option: str) -> None:
    found, asked = await brought(both(NEW, NEW, OLD), f"backend-3 {option}")
    assert (found, asked) == (Brought(), [])


async def test_a_named_package_that_is_not_installed_is_refused() -> None:
    told = await refused({}, f"backend-3 packages=dovecot-pop3d={NEW}")
    assert "dovecot-pop3d is not installed on backend-3, so nothing was begun" in told


async def test_a_named_version_may_be_lower() -> None:
    found, _ = await brought({}, f"backend-3 packages=dovecot-core={OLD}", installed=NEW)
    assert [(one.before, one.version) for one in found.packages] == [(NEW, OLD)]


def test_old_and_new_stand_in_the_plan_that_people_get_as_a_file_and_on_the_command_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    both_shown = f"dovecot-core {OLD} → {NEW}"
    assert f"brings {both_shown}\n" in plan_text(plan(), target())
    _print_plan(DryRun(plan=plan(), target=target(), checks=(("Lists", True, "old package lists: 49 hours old"),)))
    printed = capsys.readouterr().out
    assert f"  {both_shown}\n" in printed
    assert "yes  ALARM: Lists: old package lists: 49 hours old\n" in printed


async def test_a_candidate_that_is_phased_in_is_taken_as_any_other() -> None:
    """Ubuntu's rows have more to say; the bare command once answered that nothing newer is offered there."""
    rows = {name: policy(name, NEW, NEW, OLD).replace(" 500\n", " 500 (phased 20%)\n", 1) for name in NAMES}
    found, _ = await brought(rows)
    assert {one.version for one in found.packages} == {NEW}


async def test_a_candidate_whose_row_is_not_understood_is_never_nothing_to_do() -> None:
    rows = {name: policy(name, NEW, NEW, OLD).replace(f"{NEW} 500", f"{NEW} five hundred") for name in NAMES}
    assert f"no row for dovecot-core {NEW} that is understood" in await refused(rows)


@pytest.mark.parametrize("status", ["half-configured", "unpacked", "half-installed"])
async def test_a_package_that_dpkg_has_not_finished_is_named(status: str) -> None:
    """Left so by an upgrade that broke off; what is only not there is passed over."""
    listed = f"dovecot-imapd\t{OLD}\t{status}\ndovecot-old\t\tconfig-files\n"

    def script(_host: Host, command: Command) -> str:
        return f"dovecot-core\t{OLD}\tinstalled\n{listed}" if command.argv[0] == "dpkg-query" else ""

    with pytest.raises(Refused, match=f"dpkg has not finished: dovecot-imapd={OLD} is {status}"):
        await Bringing(FakeHosts(script), FakeProposals()).of(
            library().procedures[0], read_request("backend-3"), target()
        )


async def test_an_apt_that_fails_has_offered_nothing() -> None:
    """Whatever it printed before."""

    def script(host: Host, command: Command) -> Result:
        if command.argv[0] == "dpkg-query":
            return answered(host, command, f"dovecot-core\t{OLD}\tinstalled\n")
        return answered(host, command, policy("dovecot-core", OLD, OLD), stderr="E: the cache is broken\n", status=100)

    with pytest.raises(Refused, match="cannot be read"):
        await Bringing(FakeHosts(script), FakeProposals()).of(
            library().procedures[0], read_request("backend-3"), target()
        )
