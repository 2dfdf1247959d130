"""Preflight on the practice ring, over real SSH: everything that has to be refused before anything is changed.

The engine runs in this process, with the real hosts adapter and stand-ins for journal, Slack and alarms.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import asyncssh
import pytest

from bot.adapters.clock import SystemClock
from bot.core.plans.dryrun import DryRun
from bot.core.runs import events as fact
from bot.engine.planning import Request
from bot.errors import Refused
from bot.practice.ring.ring import PracticeRing
from bot.practice.ring.state import BackendState
from bot.practice.scene import CHANNEL, REQUESTER
from bot.practice.site import CONFIG, PACKAGES, reviewed_config
from bot.practice.values import Fault
from tests.acceptance import practice
from tests.acceptance.practice import changed
from tests.integration.stage import RUN, Case, Stage, staged


def known_hosts_without(ring: PracticeRing, name: str, instead: str = "") -> None:
    """Take a host's key out of known_hosts, or put another one there."""
    where = f"[127.0.0.1]:{ring.backends[name].port} "
    lines = ring.known_hosts.read_text().splitlines()
    kept = [line for line in lines if not line.startswith(where)]
    ring.known_hosts.write_text("\n".join([*kept, *([where + instead] if instead else []), ""]))


def another_key() -> str:
    return asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().strip()


def one_director_says(ring: PracticeRing, backend: str, seen: BackendState) -> None:
    """Only director-2 sees this backend so."""
    ring.state.directors["director-2"].backends[ring.backends[backend].ip] = seen


def two_names_for(ring: PracticeRing, one: str, other: str) -> None:
    """The SSH configuration leads both names to the host of the first one."""
    text = ring.ssh_config.read_text()
    ring.ssh_config.write_text(text.replace(str(ring.directors[other].port), str(ring.directors[one].port)))


def everyone_says(ring: PracticeRing, *backends: str, vhosts: int | None = None, up: bool | None = None) -> None:
    for backend in backends:
        ring.state.change(ring.backends[backend].ip, now=SystemClock().now(), vhosts=vhosts, up=up)


ONE, WELL, FLUSH, APT, CONF = (
    "one-backend-at-a-time",
    "backend-is-well",
    "metacache-is-flushed-at-stop",
    "packages-are-offered",
    "proposed-config-is-valid",
)
STARTS_NOT = f"/etc/dovecot.{RUN}.proposed starts is no, expected yes or not seen"
CASES = {
    "a ring that is not synced": Case(
        spoil=lambda ring: ring.restart_director("director-2"), step=ONE, reason=("director-2: synced is no",)
    ),
    "directors that disagree about the backend": Case(
        spoil=lambda ring: one_director_says(ring, "backend-3", BackendState(vhosts=50)),
        step=ONE,
        reason=("director-2: vhosts is 50, expected 100",),
    ),
    "directors that disagree about another backend": Case(
        spoil=lambda ring: one_director_says(ring, "backend-1", BackendState(up=False)),
        step=ONE,
        reason=("director-2: others is backend-1 is down with vhosts 100",),
    ),
    "a director that cannot be reached": Case(
        spoil=lambda ring: setattr(ring.directors["director-2"], "unreachable", True),
        step=ONE,
        reason=("director-2: no SSH connection",),
    ),
    "a director whose director process is gone": Case(
        spoil=lambda ring: setattr(ring.directors["director-2"], "away", True),
        step=ONE,
        reason=("director-1: synced is no", "exited with 75"),
    ),
    "one director under two names": Case(
        spoil=lambda ring: two_names_for(ring, "director-1", "director-2"),
        step=ONE,
        reason=(
            "director-1 and director-2 are one and the same director, 192.0.2.1:9090",
            "192.0.2.2:9090 is a member of the ring, and no director that the settings had when this was asked for",
        ),
    ),
    "a director that answers with something else": Case(
        spoil=lambda ring: ring.fault(
            Fault(host="director-1", matches="director status", when="after", what="exit", exit_status=0, times=9)
        ),
        step=ONE,
        reason=("director-1", "no table with the columns"),
    ),
    "a backend that is not up": Case(
        spoil=lambda ring: everyone_says(ring, "backend-3", up=False),
        step=ONE,
        reason=("director-1: state is down, expected up", "director-2: state is down, expected up"),
    ),
    "a backend whose vhost count is not the usual one": Case(
        spoil=lambda ring: everyone_says(ring, "backend-3", vhosts=70),
        step=ONE,
        reason=("director-1: vhosts is 70, expected 100",),
    ),
    "another backend that is out": Case(
        spoil=lambda ring: everyone_says(ring, "backend-2", vhosts=0),
        step=ONE,
        reason=("others is backend-2 is up with vhosts 0, expected as usual",),
    ),
    "no other usable backend": Case(
        spoil=lambda ring: everyone_says(ring, "backend-1", "backend-2", vhosts=0),
        step=ONE,
        reason=("usable others is 0, expected at least 1",),
    ),
    "a director with Dovecot 2.4": Case(
        spoil=lambda ring: setattr(ring.directors["director-1"], "version_text", "2.4.1-4 (7d8c0e5759)"),
        step=ONE,
        reason=("director-1: version is 2.4.1, expected below 2.4",),
    ),
    "a backend with Dovecot 2.4": Case(
        spoil=lambda ring: setattr(ring.backends["backend-3"].dovecot.doveconf, "version", "2.4.0 (7d8c0e5759)"),
        step=WELL,
        reason=("backend-3: version is 2.4.0, expected below 2.4",),
    ),
    "a backend that cannot be reached": Case(
        spoil=lambda ring: setattr(ring.backends["backend-3"], "unreachable", True),
        options="restart=yes",
        step=ONE,
        reason=("backend-3: no SSH connection",),
    ),
    "a backend whose host key is not known": Case(
        spoil=lambda ring: known_hosts_without(ring, "backend-3"),
        options="restart=yes",
        step=ONE,
        reason=("its host key is not known", "ssh-keyscan -p"),
    ),
    "a backend whose host key has changed": Case(
        spoil=lambda ring: known_hosts_without(ring, "backend-3", another_key()),
        options="restart=yes",
        step=ONE,
        reason=("its HOST KEY HAS CHANGED", "do not just replace the key"),
    ),
    "a backend whose dovecot does not run": Case(
        spoil=lambda ring: ring.backends["backend-3"].dovecot_unit.stop(),
        step=WELL,
        reason=("dovecot active is inactive, expected active",),
    ),
    "a backend whose LMTP is stopped": Case(
        spoil=lambda ring: ring.backends["backend-3"].dovecot.stopped_services.add("lmtp"),
        step=WELL,
        reason=("lmtp stopped is yes, expected no",),
    ),
    "a test user without mail": Case(
        spoil=lambda ring: setattr(ring.backends["backend-3"].dovecot, "mailboxes_empty", True),
        step=WELL,
        reason=("messages is 0, expected at least 1",),
    ),
    "a flush unit that is missing": Case(
        spoil=lambda ring: setattr(ring.backends["backend-3"], "metacache_flush", None),
        step=FLUSH,
        reason=("dovecot-metacache-flush load is not-found, expected loaded",),
    ),
    "a flush unit that is disabled": Case(
        spoil=lambda ring: setattr(ring.backends["backend-3"], "metacache_flush", "disabled"),
        step=FLUSH,
        reason=("dovecot-metacache-flush enabled is disabled, expected enabled or static",),
    ),
    "a flush unit that is masked": Case(
        spoil=lambda ring: setattr(ring.backends["backend-3"].units["dovecot-metacache-flush"], "masked", True),
        step=FLUSH,
        reason=("dovecot-metacache-flush load is masked, expected loaded",),
    ),
    "a package version that apt does not offer": Case(
        options="packages=dovecot-core=1:2.3.99-1",
        step=APT,
        reason=("missing is dovecot-core=1:2.3.99-1, expected none",),
    ),
    "a package without those that depend on its version": Case(
        options="packages=dovecot-core=1:2.3.19.1+dfsg1-2.1+deb12u7",
        step=APT,
        reason=("changed too is dovecot-imapd, dovecot-lmtpd, expected none",),
    ),
    "a package of Dovecot 2.4": Case(
        spoil=lambda ring: ring.backends["backend-3"].packages.offered["dovecot-core"].append("1:2.4.1-4"),
        options="packages=dovecot-core=1:2.4.1-4",
        step=APT,
        reason=("dovecot is 2.4.1", "expected below 2.4"),
    ),
    "a comparison that sudo refuses": Case(
        spoil=lambda ring: ring.fault(
            Fault(host="backend-3", matches="diff ", when="before", what="exit", exit_status=1, times=9)
        ),
        options=f"config={CONFIG} packages=keep",
        step=CONF,
        reason=("exited with 1", "this command was made to fail"),
        staged=True,
    ),
    "a proposed configuration that does not parse": Case(
        options="config=broken packages=keep",
        step=CONF,
        reason=(f"backend-3: {STARTS_NOT}", "conf.d/99-broken.conf line 1: Unknown setting: BROKEN"),
        staged=True,
    ),
    "a proposed configuration with a key that is not there": Case(
        options="packages=keep config=without-its-key",
        step=CONF,
        reason=(
            STARTS_NOT,
            "line 1: Can't open file /etc/dovecot/private/missing.pem: No such file or directory (ssl_key)",
        ),
        staged=True,
    ),
    "a proposed configuration that includes what only the one in place has": Case(
        options="packages=keep config=without-what-it-includes",
        step=CONF,
        reason=(STARTS_NOT, "/etc/dovecot/conf.d/99-broken.conf line 1: No matches"),
        staged=True,
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_preflight_refuses_with_the_reason_and_nothing_is_changed(tmp_path: Path, name: str) -> None:
    """Refused is the end of the run: the ring is free again, and nobody has to do anything about it."""
    case = CASES[name]
    async with staged(tmp_path / "configs") as stage:
        await stage.spoil(case)
        await stage.ask(f"backend-3 {case.options}")
        ended = await stage.until(fact.RunEnded)
        failed = await stage.until(fact.StepFailed)
        assert isinstance(ended, fact.RunEnded)
        assert isinstance(failed, fact.StepFailed)
        assert failed.step == case.step
        for part in case.reason:
            assert part in failed.reason
        assert (ended.outcome, ended.reason) == (fact.Outcome.REFUSED, failed.reason)
        assert changed(stage.ring, RUN) == (practice.STAGE_CONFIG if case.staged else [])
        assert stage.journal.rings == {}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "a proposed configuration that does not parse",
            "Error in configuration file /etc/dovecot/conf.d/99-broken.conf line 1",
        ),
        ("a ring that is not synced", "ring syncing - last sync"),
        ("a director whose director process is gone", "192.0.2.2 away"),
    ],
)
async def test_what_the_host_said_of_it_is_in_the_reason(tmp_path: Path, name: str, said: str) -> None:
    """`parses is no` sends a person to the host to ask again what the bot has been told already."""
    case = CASES[name]
    async with staged(tmp_path / "configs") as stage:
        await stage.spoil(case)
        await stage.ask(f"backend-3 {case.options}")
        failed = await stage.until(fact.StepFailed)
        assert isinstance(failed, fact.StepFailed)
        assert said in failed.reason


async def test_a_plan_names_what_is_newer_on_the_host_than_in_the_folder(tmp_path: Path) -> None:
    """`config=` replaces the whole tree with a copy that may be weeks old; nothing is staged yet when it is planned."""
    async with staged(tmp_path / "configs") as stage:
        stage.propose(CONFIG, reviewed_config(stage.ring))
        says = f"Looked for files of backend-3 that are newer than those of {CONFIG}"
        none = {said: (holds, reason) for said, holds, reason in (await dry_run(stage, f"config={CONFIG}")).checks}
        assert none[says] == (True, "backend-3: no file that differs is newer there")
        stage.ring.backends["backend-3"].disk.write("/etc/dovecot/conf.d/90-metacache.conf", "renewed = since\n")
        os.utime(stage.configs / CONFIG / "conf.d/90-metacache.conf", (1_700_000_000,) * 2)
        some = {said: (holds, reason) for said, holds, reason in (await dry_run(stage, f"config={CONFIG}")).checks}
        assert some[says][0] is True
        assert some[says][1].endswith("newer there, and replaced or removed by a run: 1 (conf.d/90-metacache.conf)")
        stage.ring.fault(Fault(host="backend-3", matches="sha256sum", when="before", what="exit", exit_status=1))
        with pytest.raises(Refused, match=r"Nothing was begun: what backend-3 has now cannot be read"):
            await dry_run(stage, f"config={CONFIG}")
        assert changed(stage.ring) == []


async def dry_run(stage: Stage, options: str) -> DryRun:
    text = f"backend-3 {options}"
    request = Request(command="/dovecot-upgrade", text=text, requester=REQUESTER, team="T0", channel=CHANNEL)
    return await stage.service.dry_run(request)


@pytest.mark.parametrize("name", ["never-made", "../../etc", "a;reboot"])
async def test_a_configuration_that_is_none_is_refused_before_a_run_begins(tmp_path: Path, name: str) -> None:
    async with staged(tmp_path / "configs") as stage:
        stage.propose(CONFIG, reviewed_config(stage.ring))
        with pytest.raises(Refused, match="There are: " + CONFIG if name == "never-made" else "is not a name"):
            await stage.ask(f"backend-3 config={name}")
        assert stage.journal.facts == {}
        assert stage.ring.log == []


async def test_a_site_without_metacache_needs_no_flush_unit(tmp_path: Path) -> None:
    async with staged(tmp_path / "configs", metacache=False) as stage:
        await stage.ask("backend-3 restart=yes")
        await stage.until(fact.WaitBegan)
        assert changed(stage.ring) == practice.DRAIN


async def test_where_nothing_is_wrong_the_run_goes_on_to_its_first_change(tmp_path: Path) -> None:
    """So that the refusals above are about what is wrong there, and nothing else."""
    async with staged(tmp_path / "configs") as stage:
        stage.propose(CONFIG, reviewed_config(stage.ring))
        await stage.ask(f"backend-3 config={CONFIG} packages={PACKAGES}")
        await stage.until(fact.WaitBegan)
        assert changed(stage.ring, RUN) == [*practice.DOWNLOAD, *practice.STAGE_CONFIG, *practice.DRAIN]
        attached = [entry.fact for entry in stage.journal.facts[RUN] if isinstance(entry.fact, fact.StepDone)]
        assert any(re.search(r"^\+metacache_max_space = 400G$", one.attachment, re.MULTILINE) for one in attached)
