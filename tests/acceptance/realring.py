"""What the tests on the real ring share: the bot's rights there, its site, its users, the truth read from outside."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

from bot.config import procedures_folder, read_library
from bot.core.inventory import Ring
from bot.core.sudoers import sudoers
from bot.practice.scene import Scene, Site
from tests.lab import Lab, wait_for
from tests.lab.fixtures import skip_without_lab
from tests.lab.imap import connected

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


def proposed(lab: Lab, change: bytes) -> dict[str, bytes]:
    """The backend's configuration of now, with something added."""
    files = {}
    for line in lab.run("backend-3", "cd /etc/dovecot && find . -type f", check=True).stdout.split():
        files[line.removeprefix("./")] = lab.run("backend-3", f"cat /etc/dovecot/{line}", check=True).stdout.encode()
    return files | {"conf.d/90-review.conf": change}


async def outcome_as_users_come(lab: Lab, scene: Scene, *, within: timedelta = timedelta(minutes=2)) -> str | None:
    """How the run ended; once the backend is up, users come whom no director has mapped, and go on coming.

    Those who work all the time stay on the backends they are on, and a mapping that nobody renews expires.
    """
    usual = lambda: ring_is_as_usual(lab)  # noqa: E731
    await asyncio.to_thread(wait_for, "the ring is as usual", usual, within=timedelta(minutes=2))
    directors = itertools.cycle(lab.directors.values())
    async with asyncio.timeout(within.total_seconds()):
        while not scene.outcome:
            async with connected(next(directors).ip, timedelta(seconds=30)) as session:
                await session.command(f"LOGIN new-{uuid4().hex[:12]} {lab.password}")
                await session.command("LOGOUT")
            await asyncio.sleep(0.05)
    return scene.outcome


def installed(lab: Lab) -> str:
    return lab.run("backend-3", "dpkg-query --show --showformat='${Version}' dovecot-core", check=True).stdout


def ring_is_as_usual(lab: Lab) -> bool:
    for director in lab.directors:
        rows = lab.run(director, "doveadm -f tab director status", check=True).stdout.splitlines()[1:]
        if [row.split("\t")[2:4] for row in rows] != [["100", "up"]] * len(lab.backends):
            return False
    return True


@contextmanager
def lab_for_the_bot() -> Iterator[Lab]:
    """A lab whose sudo knows nothing but the rules that the bot prints."""
    skip_without_lab()
    planned = Lab()
    rules = all_rules(site_of(planned, Path()))
    with Lab(sudoers=rules) as running:
        yield running


def told(scene: Scene) -> str:
    """The thread in short, for a test that went wrong."""
    return "\n".join(one.text[:300] for one in scene.thread)
