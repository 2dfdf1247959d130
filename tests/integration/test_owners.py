"""Owners and modes with the tools of a real host: the plan's own commands, on a folder in place of /etc/dovecot.

It needs root, as the bot has it there, and the users that come with dovecot's packages.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from bot.adapters.configs import FolderProposals
from bot.core.hosts.command import Command, Result
from bot.core.plans.fill import make_plan
from bot.core.plans.plan import Action, Expected, Plan
from bot.core.plans.proposal import Proposal
from bot.core.readings.expect import Look, Verdict, judge
from bot.core.readings.outputs import Reading
from bot.core.readings.probes import PROBES
from bot.core.runs.events import Seen
from bot.errors import Refused
from tests.build import library, order, target
from tests.fakes import MORNING


def _knows(user: str) -> bool:
    try:
        return bool(pwd.getpwnam(user))
    except KeyError:
        return False


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not _knows("dovecot"), reason="needs root and the user dovecot, as a backend has them"
)


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A folder in which commands find what they look for in /etc."""

    root: Path
    plan: Plan

    def run(self, command: Command, material: bytes = b"") -> Result:
        argv = [word.replace("/etc/dovecot", f"{self.root}/dovecot") for word in command.argv]
        ran = subprocess.run(argv, input=material, capture_output=True, check=False)
        return Result(
            host="backend-3",
            command=command.text,
            exit_status=ran.returncode,
            stdout=ran.stdout.decode().replace(f"{self.root}/dovecot", "/etc/dovecot"),
            stderr=ran.stderr.decode().replace(f"{self.root}/dovecot", "/etc/dovecot"),
            stdout_bytes=len(ran.stdout),
            began=MORNING,
            took=timedelta(0),
        )

    def read(self, probe: str, **asks: str) -> Reading:
        command = PROBES[probe].command(target(), asks)
        return PROBES[probe].read(target(), asks, self.run(command))

    def judged(self, action: Action) -> Verdict:
        """What shows that it is done, as far as files show it."""
        looks = [self._look(one) for one in action.done_when if one.probe != "config-parses"]
        return judge(looks)

    def _look(self, expected: Expected) -> Look:
        asks = {key: value for key, value in expected.asks.items() if isinstance(value, str)}
        reading = self.read(expected.probe, **asks)
        return Look(expected=expected, seen=(Seen(host="backend-3", probe=expected.probe, reading=reading),))

    def action(self, name: str) -> Action:
        return next(step.action for step in self.plan.changes if step.name == name)

    def undo(self, name: str) -> Action:
        undo = next(step.undo for step in self.plan.changes if step.name == name)
        assert undo is not None
        return undo


def write(path: Path, text: str, mode: int, user: str = "root", group: str = "root") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    shutil.chown(path, user, group)


def can_read(path: Path, user: str) -> bool:
    """Whether a service that runs as that user can read it: asked of the kernel."""
    who = pwd.getpwnam(user)
    tried = subprocess.run(
        ["cat", path], capture_output=True, check=False, user=who.pw_uid, group=who.pw_gid, extra_groups=[]
    )
    return tried.returncode == 0


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can look into, as /etc is; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def live(place: Path) -> Path:
    """What is in place: a file for dovecot alone, and a folder that nobody else looks into."""
    live = place / "dovecot"
    write(live / "dovecot.conf", "protocols = imap\n", 0o644)
    write(live / "dovecot-sql.conf.ext", "connect = host=db\n", 0o640, group="dovecot")
    write(live / "private/key.pem", "secret\n", 0o600)
    (live / "private").chmod(0o700)
    (live / "sni").mkdir(mode=0o750)
    shutil.chown(live / "sni", "root", "dovecot")
    write(live / "sni/a.pem", "a\n", 0o640, group="dovecot")
    (live / "link").symlink_to("sni/a.pem")
    live.chmod(0o755)
    return live


@pytest.fixture
def review(tmp_path: Path) -> Path:
    """The same as a working copy has it: all of it whoever's, all of it open; with a file more in two folders."""
    review = tmp_path / "configs/review"
    for path, text in {
        "dovecot.conf": "protocols = imap lmtp\n",
        "dovecot-sql.conf.ext": "connect = host=db2\n",
        "private/key.pem": "secret\n",
        "private/new.pem": "new\n",
        "sni/a.pem": "a\n",
        "sni/b.pem": "b\n",
    }.items():
        write(review / path, text, 0o644, "nobody", "nogroup")
    (review / "link").symlink_to("sni/b.pem")
    return review


async def backend(live: Path, review: Path) -> tuple[Backend, bytes]:
    """The backend with the plan for that configuration, and what the bot would send."""
    proposals = FolderProposals(review.parent)
    proposal: Proposal = await proposals.proposal(review.name)
    made = make_plan(library().procedures[0], replace(order(packages=False), proposal=proposal))
    host = Backend(root=live.parent, plan=made)
    like = str(host.read("owned-tree", path="/etc/dovecot")["listing"])
    return host, await proposals.archive(proposal, like)


def whose(path: Path) -> str:
    return f"{path.owner()}:{path.group()} {path.stat().st_mode & 0o7777:o}"


EXPECTED = {
    ".": "root:root 755",
    "dovecot.conf": "root:root 644",
    "dovecot-sql.conf.ext": "root:dovecot 640",
    "private": "root:root 700",
    "private/key.pem": "root:root 600",
    "private/new.pem": "root:root 600",
    "sni": "root:dovecot 750",
    "sni/b.pem": "root:dovecot 640",
}


async def test_a_service_that_runs_as_dovecot_reads_its_file_after_the_swap_and_nobody_else_does(
    live: Path, review: Path
) -> None:
    """Seen: root:dovecot 0640 became root:root, and private/ opened from 0700 to 0755."""
    assert (can_read(live / "dovecot-sql.conf.ext", "dovecot"), can_read(live / "private/key.pem", "dovecot")) == (
        True,
        False,
    )
    host, packed = await backend(live, review)
    for name in ("stage-config", "install-config"):
        action = host.action(name)
        assert host.judged(action).holds is False, "before it"
        assert host.run(action.command, packed).exit_status == 0
        assert host.judged(action).holds, (name, host.judged(action).reason)
    assert {path: whose(live / path) for path in EXPECTED} == EXPECTED
    assert (live / "dovecot-sql.conf.ext").read_text() == "connect = host=db2\n"
    assert can_read(live / "dovecot-sql.conf.ext", "dovecot")
    assert can_read(live / "sni/b.pem", "dovecot")
    assert not can_read(live / "dovecot-sql.conf.ext", "nobody")
    assert not can_read(live / "private/new.pem", "dovecot")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (
            lambda live: shutil.chown(live / "dovecot-sql.conf.ext", "root", "root"),
            "dovecot-sql.conf.ext is root:root 640",
        ),
        (
            lambda live: (live / "private").chmod(0o755),
            "private is root:root 755, and as on the host it is root:root 700",
        ),
        (lambda live: live.chmod(0o700), ". is root:root 700"),
    ],
    ids=["group", "mode", "the-folder"],
)
async def test_the_proof_of_the_swap_includes_owners_groups_and_modes(
    live: Path, review: Path, spoil: object, why: str
) -> None:
    host, packed = await backend(live, review)
    for name in ("stage-config", "install-config"):
        host.run(host.action(name).command, packed)
    assert callable(spoil)
    spoil(live)
    verdict = host.judged(host.action("install-config"))
    assert verdict.holds is False
    assert why in verdict.reason


async def test_the_way_back_is_proved_with_them_too(live: Path, review: Path) -> None:
    host, packed = await backend(live, review)
    before = str(host.read("owned-tree", path="/etc/dovecot")["state"])
    for name in ("stage-config", "install-config"):
        host.run(host.action(name).command, packed)
    assert host.read("owned-tree", path="/etc/dovecot")["state"] != before
    host.run(host.undo("install-config").command)
    assert host.read("owned-tree", path="/etc/dovecot")["state"] == before
    shutil.chown(live / "dovecot-sql.conf.ext", "root", "root")
    assert host.read("owned-tree", path="/etc/dovecot")["state"] != before


async def test_a_manifest_says_whose_it_is_and_goes_to_no_host(live: Path, review: Path) -> None:
    (review / ".ownership").write_text("root:mail 640 private/new.pem\nroot:mail 750 private\n")
    host, packed = await backend(live, review)
    action = host.action("stage-config")
    host.run(action.command, packed)
    assert host.judged(action).holds, host.judged(action).reason
    staged = live.parent / "dovecot.r2025a.proposed"
    assert (whose(staged / "private"), whose(staged / "private/new.pem")) == ("root:mail 750", "root:mail 640")
    assert not (staged / ".ownership").exists()


async def test_a_group_that_the_host_does_not_know_shows_before_anybody_is_disturbed(live: Path, review: Path) -> None:
    """tar takes the number instead, which is root's: the copy's proof says so, in the first stage."""
    (review / ".ownership").write_text("root:nosuchgroup 640 private/new.pem\n")
    host, packed = await backend(live, review)
    action = host.action("stage-config")
    host.run(action.command, packed)
    verdict = host.judged(action)
    assert verdict.holds is False
    assert "private/new.pem is root:root 640, and as .ownership says it is root:nosuchgroup 640" in verdict.reason


async def test_what_everybody_may_write_on_the_host_is_not_made_so_again(live: Path, review: Path) -> None:
    (live / "dovecot.conf").chmod(0o666)
    with pytest.raises(Refused, match=r"dovecot\.conf may be written by everybody as on the host"):
        await backend(live, review)


async def test_an_owner_without_a_name_keeps_the_number(live: Path, review: Path) -> None:
    await asyncio.to_thread(os.chown, live / "dovecot.conf", 54321, 54322)
    host, packed = await backend(live, review)
    action = host.action("stage-config")
    host.run(action.command, packed)
    assert host.judged(action).holds, host.judged(action).reason
