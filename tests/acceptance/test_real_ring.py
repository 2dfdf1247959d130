"""The whole job on a real ring: the bot as a process, logged in as a user with the sudo rules that it prints itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.config import procedures_folder, read_library
from bot.core.inventory import Ring
from bot.core.sudoers import sudoers
from bot.practice.scene import SECOND, Scene, Site
from tests.lab import Lab, wait_for
from tests.lab.fixtures import skip_without_lab
from tests.lab.imap import connected
from tests.lab.users import MailUsers

PACKAGES = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")


def ring_of(site: Site) -> Ring:
    return Ring.model_validate(
        {
            "name": "practice",
            "test_user": site.test_user,
            "metacache": {},
            "directors": [{"name": name} for name in site.directors],
            "backends": [{"name": name, "ip": ip} for name, ip in site.backends.items()],
        }
    )


def all_rules(site: Site) -> str:
    """The sudo rules of every host together: the lab has one file for all."""
    ring = ring_of(site)
    procedures = read_library(procedures_folder()).procedures
    return "\n".join(sudoers(procedures, ring, host, "mailbot") for host in (*ring.directors, *ring.backends))


def site_of(lab: Lab, folder: Path) -> Site:
    return Site(
        directors=tuple(lab.directors),
        backends={name: host.ip for name, host in lab.backends.items()},
        ssh_config=folder / "ssh_config",
        known_hosts=folder / "known_hosts",
        test_user=lab.test_user,
    )


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    skip_without_lab()
    planned = Lab()
    rules = all_rules(site_of(planned, Path()))
    with Lab(sudoers=rules) as running:
        yield running


@pytest.fixture
async def scene(lab: Lab) -> AsyncIterator[Scene]:
    async with Scene(site_of(lab, lab.directory), drain=timedelta(seconds=12)) as made:
        await made.start_bot()
        yield made


def proposed(lab: Lab, change: bytes) -> dict[str, bytes]:
    """The backend's configuration of now, with something added."""
    files = {}
    for line in lab.run("backend-3", "cd /etc/dovecot && find . -type f", check=True).stdout.split():
        files[line.removeprefix("./")] = lab.run("backend-3", f"cat /etc/dovecot/{line}", check=True).stdout.encode()
    return files | {"conf.d/90-review.conf": change}


async def newcomers_log_in(lab: Lab) -> None:
    """Once the backend is up, users come whom no director has mapped: the sixty stay on the backends they are on."""
    await asyncio.to_thread(
        wait_for, "the ring is as usual", lambda: ring_is_as_usual(lab), within=timedelta(minutes=2)
    )
    directors = list(lab.directors.values())
    for number in range(24):
        async with connected(directors[number % 2].ip, timedelta(seconds=30)) as session:
            await session.command(f"LOGIN newcomer-{number:02} {lab.password}")
            await session.command("LOGOUT")


def installed(lab: Lab) -> str:
    return lab.run("backend-3", "dpkg-query --show --showformat='${Version}' dovecot-core", check=True).stdout


def ring_is_as_usual(lab: Lab) -> bool:
    for director in lab.directors:
        rows = lab.run(director, "doveadm -f tab director status", check=True).stdout.splitlines()[1:]
        if [row.split("\t")[2:4] for row in rows] != [["100", "up"]] * len(lab.backends):
            return False
    return True


async def test_an_upgrade_with_config_and_packages_while_sixty_users_log_in(lab: Lab, scene: Scene) -> None:
    """The job itself. What the users noticed is counted from outside, by logins through both directors."""
    version = await asyncio.to_thread(lab.other_version, "backend-3")
    scene.propose("review", await asyncio.to_thread(proposed, lab, b"mail_max_userip_connections = 21\n"))
    packages = ",".join(f"{name}={version}" for name in PACKAGES)
    async with MailUsers(lab) as users:
        began = datetime.now(UTC)
        await scene.ask(f"backend-3 config=review packages={packages}")
        await scene.click(SECOND, "approve", within=120)
        down = datetime.now(UTC)
        await scene.slack.until(lambda: any("Stage 4 of" in one.text for one in scene.thread), timeout=120)
        flushed = datetime.now(UTC)
        await scene.click(SECOND, "approve", within=180)
        await newcomers_log_in(lab)
        await scene.slack.until(lambda: scene.outcome, timeout=120)
        ended = datetime.now(UTC)

    assert scene.outcome == "done"
    assert await asyncio.to_thread(installed, lab) == version
    config = lab.run("backend-3", "doveconf -h mail_max_userip_connections", check=True).stdout.strip()
    assert config == "21"
    assert lab.run("backend-3", "find /var/dovecot/vmail -mindepth 1").stdout == ""
    assert lab.run("backend-3", "ls /var/lib/dovecot/metacache").stdout.split() != []
    assert "metacache-users" not in lab.run("backend-3", "ls /var/lib/dovecot/metacache").stdout
    assert await asyncio.to_thread(ring_is_as_usual, lab)
    assert not [ran for name in ("backend-3", *lab.directors) for ran in lab.log(name) if ran.refused]

    inside = users.failed(down, flushed)
    outside = [one for one in users.failed(began, ended) if one not in inside]
    print(f"\n{users.count} users, {len(users.logins)} logins, {len(users.kicks)} sessions moved; logins that failed:")
    print(
        f"  in the take-down ({(flushed - down).total_seconds():.1f} s): {len(inside)}; outside of it: {len(outside)}"
    )
    assert outside == []


async def test_a_denied_restore_goes_back_to_what_was_there(lab: Lab, scene: Scene) -> None:
    before = lab.run("backend-3", "cd /etc/dovecot && find . -type f | sort | xargs sha256sum", check=True).stdout
    version = await asyncio.to_thread(installed, lab)
    other = await asyncio.to_thread(lab.other_version, "backend-3")
    scene.propose("review", await asyncio.to_thread(proposed, lab, b"mail_max_userip_connections = 22\n"))
    packages = ",".join(f"{name}={other}" for name in PACKAGES)
    async with MailUsers(lab, count=10):
        await scene.ask(f"backend-3 config=review packages={packages}")
        await scene.click(SECOND, "approve", within=60)
        await scene.click(SECOND, "deny", within=180)
        await scene.click(SECOND, "approve", within=60)
        await scene.click(SECOND, "approve", within=180)
        await newcomers_log_in(lab)
        await scene.slack.until(lambda: scene.outcome, timeout=180)
    assert scene.outcome == "went back"
    assert await asyncio.to_thread(installed, lab) == version
    after = lab.run("backend-3", "cd /etc/dovecot && find . -type f | sort | xargs sha256sum", check=True).stdout
    assert after == before
    assert await asyncio.to_thread(ring_is_as_usual, lab)
