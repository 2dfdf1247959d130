"""The whole job on a real ring: the bot as a process, logged in as a user with the sudo rules that it prints itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.practice.scene import REQUESTER, SECOND, Scene
from tests.acceptance.realring import (
    PACKAGES,
    at_work,
    installed,
    lab_for_the_bot,
    outcome_as_users_come,
    proposed,
    site_of,
)
from tests.forked import forked
from tests.lab import Lab
from tests.lab.deliveries import Deliveries
from tests.lab.users import MailUsers

FOR_DOVECOT_ALONE = """
cd /etc/dovecot && install -d -m 0700 private
echo of-nobody-else >private/passphrase && chmod 0600 private/passphrase
echo '# for dovecot alone' >lookup.conf.ext && chown root:dovecot lookup.conf.ext && chmod 0640 lookup.conf.ext
"""
WHOSE = (
    "cd /etc/dovecot && stat --format='%n %U:%G %a' . lookup.conf.ext private private/passphrase conf.d dovecot.conf"
)


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_for_the_bot() as running:
        yield running


@pytest.fixture
async def scene(lab: Lab) -> AsyncIterator[Scene]:
    async with Scene(site_of(lab, lab.directory), drain=timedelta(seconds=12), launch=forked) as made:
        await made.start_bot()
        yield made


async def test_an_upgrade_with_config_and_packages_while_sixty_users_log_in(
    lab: Lab, scene: Scene, measured: Callable[[str], None]
) -> None:
    """The job itself. What the users noticed is counted from outside, by logins through both directors."""
    version = await asyncio.to_thread(lab.other_version, "backend-3")
    lab.run("backend-3", FOR_DOVECOT_ALONE, check=True)
    whose = lab.run("backend-3", WHOSE, check=True).stdout
    assert "root:dovecot 640" in whose
    scene.propose("review", await asyncio.to_thread(proposed, lab, b"mail_max_userip_connections = 21\n"))
    packages = ",".join(f"{name}={version}" for name in PACKAGES)
    async with MailUsers(lab) as users, Deliveries(lab) as mails:
        began = datetime.now(UTC)
        await scene.ask(f"backend-3 config=review packages={packages}")
        await scene.click(SECOND, "approve", within=120)
        down = datetime.now(UTC)
        await scene.slack.until(lambda: any("Stage 5 of" in one.text for one in scene.thread))
        flushed = datetime.now(UTC)
        await scene.click(SECOND, "approve", within=180)
        assert await outcome_as_users_come(lab, scene) == "done"
        ended = datetime.now(UTC)

    assert await asyncio.to_thread(installed, lab) == version
    config = lab.run("backend-3", "doveconf -h mail_max_userip_connections", check=True).stdout.strip()
    assert config == "21"
    assert lab.run("backend-3", WHOSE, check=True).stdout == whose
    as_dovecot = "setpriv --reuid=dovecot --regid=dovecot --clear-groups cat /etc/dovecot"
    assert lab.run("backend-3", f"{as_dovecot}/lookup.conf.ext").stdout == "# for dovecot alone\n"
    assert lab.run("backend-3", f"{as_dovecot}/private/passphrase").returncode == 1
    assert lab.run("backend-3", "find /var/dovecot/vmail -mindepth 1").stdout == ""
    assert lab.run("backend-3", "ls /var/lib/dovecot/metacache").stdout.split() != []
    assert "metacache-users" not in lab.run("backend-3", "ls /var/lib/dovecot/metacache").stdout
    assert await asyncio.to_thread(lab.is_as_usual)
    assert not [ran for name in ("backend-3", *lab.directors) for ran in lab.log(name) if ran.refused]

    inside = users.failed(down, flushed)
    outside = [one for one in users.failed(began, ended) if one not in inside]
    took = (flushed - down).total_seconds()
    measured(f"{users.count} users, {len(users.logins)} logins, {len(users.kicks)} sessions ended by the server;")
    measured(f"logins that failed in the take-down ({took:.1f} s): {len(inside)}; outside of it: {len(outside)}")
    worst, mail = (crowd.worst(down, flushed).total_seconds() for crowd in (users, mails))
    measured(f"the worst was out for {worst:.1f} s;")
    measured(f"mails deferred in it: {len(mails.failed(down, flushed))}, the worst for {mail:.1f} s")
    assert outside == []


async def test_going_back_before_the_restore_brings_back_what_was_there(lab: Lab) -> None:
    before = lab.run("backend-3", "cd /etc/dovecot && find . -type f | sort | xargs sha256sum", check=True).stdout
    version = await asyncio.to_thread(installed, lab)
    other = await asyncio.to_thread(lab.other_version, "backend-3")
    review = await asyncio.to_thread(proposed, lab, b"mail_max_userip_connections = 22\n")
    packages = ",".join(f"{name}={other}" for name in PACKAGES)
    async with at_work(lab, approves=False) as scene, MailUsers(lab, count=10):
        scene.propose("review", review)
        await scene.ask(f"backend-3 config=review packages={packages}")
        await scene.click(SECOND, "approve", within=60)
        restore = await scene.question("approve", within=180)
        await scene.slack.fill_in(SECOND, restore, "go_back", "it is slower than before")
        await scene.click(REQUESTER, "approve", within=60)
        await scene.click(REQUESTER, "approve", within=180)
        assert await outcome_as_users_come(lab, scene) == "went back"
    assert await asyncio.to_thread(installed, lab) == version
    after = lab.run("backend-3", "cd /etc/dovecot && find . -type f | sort | xargs sha256sum", check=True).stdout
    assert after == before
    assert await asyncio.to_thread(lab.is_as_usual)


async def test_the_bare_command_takes_the_packages_from_one_debian_version_to_the_next(lab: Lab) -> None:
    """With nothing typed but the backend."""
    newest = max(await asyncio.to_thread(installed, lab), await asyncio.to_thread(lab.other_version, "backend-3"))
    if await asyncio.to_thread(installed, lab) == newest:
        older = await asyncio.to_thread(lab.other_version, "backend-3")
        specs = " ".join(f"{name}={older}" for name in PACKAGES)
        keep = "-o Dpkg::Options::=--force-confold"
        await asyncio.to_thread(lab.run, "backend-3", f"apt-get --yes --allow-downgrades {keep} install {specs}")
    async with at_work(lab) as scene, MailUsers(lab, count=10):
        await scene.ask("backend-3")
        assert await outcome_as_users_come(lab, scene) == "done"
    assert await asyncio.to_thread(installed, lab) == newest
