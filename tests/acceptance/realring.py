"""What the tests on the real ring share: the bot's rights there, its site, its users, the truth read from outside."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from uuid import uuid4

from bot.core.hosts.inventory import Ring
from bot.core.setup.sudoers import sudoers
from bot.library import procedures_folder, read_library
from bot.practice.scene import SECOND, Launch, Scene
from bot.practice.site import Site
from tests.acceptance.practice import only_looks
from tests.forked import forked
from tests.lab import Lab, wait_for
from tests.lab.fixtures import FOR_AS_LONG_AS_IT_TAKES, skip_without_lab
from tests.lab.imap import connected
from tests.lab.ring import EXPIRE_SOON

PACKAGES = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")
FLUSH_UNIT = "dovecot-metacache-flush"


def ring_of(site: Site, *, sudo: bool = False) -> Ring:
    return Ring.model_validate(
        {
            "name": "practice",
            "test_user": site.test_user,
            "metacache": {} if site.metacache else None,
            "take_down": site.take_down or None,
            "directors": [{"name": name, "sudo": sudo} for name in site.directors],
            "backends": [{"name": name, "ip": ip, "sudo": sudo} for name, ip in site.backends.items()],
        }
    )


def all_rules(site: Site) -> str:
    """The sudo rules of every host together: the lab has one file for all."""
    ring = ring_of(site)
    procedures = read_library(procedures_folder()).procedures
    return "\n".join(sudoers(procedures, ring, host, "mailbot") for host in (*ring.directors, *ring.backends))


def site_of(lab: Lab, folder: Path, *, take_down: str = "") -> Site:
    return Site(
        take_down=take_down,
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
        files[line.removeprefix("./")] = lab.read("backend-3", f"/etc/dovecot/{line}").encode()
    return files | {"conf.d/90-review.conf": change}


async def outcome_as_users_come(lab: Lab, scene: Scene, *, within: timedelta = timedelta(minutes=2)) -> str | None:
    """How the run ended; once the backend is up, users come whom no director has mapped, and go on coming.

    Those who work all the time stay on the backends they are on, and a mapping that nobody renews expires.
    """
    await asyncio.to_thread(wait_for, "the ring is as usual", lab.is_as_usual)
    directors = itertools.cycle(lab.directors.values())
    async with asyncio.timeout(within.total_seconds()):
        while not scene.outcome:
            async with connected(next(directors).ip, timedelta(seconds=30)) as session:
                await session.command(f"LOGIN new-{uuid4().hex[:12]} {lab.password}")
                await session.command("LOGOUT")
            await asyncio.sleep(0.2)  # each is a mailbox more that is made
    return scene.outcome


def installed(lab: Lab) -> str:
    return lab.run("backend-3", "dpkg-query --show --showformat='${Version}' dovecot-core", check=True).stdout


@contextmanager
def lab_for_the_bot(*, user_expire: timedelta = EXPIRE_SOON, take_down: str = "") -> Iterator[Lab]:
    """A lab whose sudo knows nothing but the rules that the bot prints."""
    skip_without_lab()
    planned = Lab()
    rules = all_rules(site_of(planned, Path(), take_down=take_down))
    with Lab(sudoers=rules, user_expire=user_expire) as running:
        yield running


@contextmanager
def lab_for_users() -> Iterator[Lab]:
    """The same, on which a user who was mapped stays so for as long as a test takes."""
    with lab_for_the_bot(user_expire=FOR_AS_LONG_AS_IT_TAKES) as running:
        yield running


@asynccontextmanager
async def at_work(
    lab: Lab,
    *,
    approves: bool = True,
    drain: timedelta = timedelta(seconds=3),
    take_down: str = "",
    launch: Launch = forked,
) -> AsyncIterator[Scene]:
    """A bot that watches closely; with `approves` there is a second engineer who approves whatever is asked."""
    site = site_of(lab, lab.directory, take_down=take_down)
    async with Scene(site, drain=drain, settings={"watch_every": "2s"}, launch=launch) as scene:
        await scene.start_bot()
        people = [asyncio.create_task(always(scene, SECOND, "approve"))] if approves else []
        try:
            yield scene
        except BaseException:
            print(told(scene))
            raise
        finally:
            for person in people:
                person.cancel()
            await asyncio.gather(*people, return_exceptions=True)


async def always(scene: Scene, user: str, action: str) -> None:
    while True:
        with suppress(TimeoutError):
            await scene.click(user, action, within=5)


def altered(lab: Lab, since: datetime) -> list[tuple[str, str]]:
    """What the bot's user altered since then, as each host's own sudo says: the host and the command."""
    return [
        (host, ran.command)
        for host in (*lab.directors, *lab.backends)
        for ran in lab.log(host)
        if ran.via == "sudo" and ran.at >= since and not only_looks(ran.command)
    ]


def by_hand(lab: Lab, *words: str) -> None:
    """Have somebody say that to a director, past the bot: `down backend-1`, `update backend-3 100`."""
    for said in words:
        command, name, *rest = said.split()
        ip = lab.backends[name].ip
        lab.run("director-1", ["doveadm", "director", command, ip, *rest], check=True)


def mapped(lab: Lab) -> int:
    """The users of backend-3, as director-1 says."""
    table = lab.run("director-1", "doveadm -f tab director status", check=True).stdout.splitlines()
    header, *rows = (line.split("\t") for line in table)
    ip = lab.backends["backend-3"].ip
    return next(int(row[header.index("users")]) for row in rows if row[0] == ip)


async def log_users_in(lab: Lab, count: int = 48) -> None:
    """So many users are mapped from here on; every backend gets some, as their names' hashes decide."""
    directors = itertools.cycle(lab.directors.values())
    for number in range(count):
        async with connected(next(directors).ip, timedelta(seconds=30)) as session:
            await session.command(f"LOGIN mapped-{number} {lab.password}")
            await session.command("LOGOUT")


def put_back(lab: Lab, also: Mapping[str, str]) -> None:
    """The ring and backend-3 as they were before a test, whatever it did; `also`: what it did to a host, undone."""
    for host, script in also.items():
        lab.run(host, script)
    backend = (
        f"rm -rf /etc/systemd/system/{FLUSH_UNIT}.service.d; systemctl daemon-reload; systemctl enable {FLUSH_UNIT};"
        f" systemctl unmask --runtime dovecot; systemctl reset-failed dovecot {FLUSH_UNIT};"
        f" systemctl start dovecot {FLUSH_UNIT}; doveadm reload; mkdir -p /var/dovecot/vmail;"
        " touch /var/dovecot/vmail/bundle /var/lib/dovecot/metacache/metacache-users-1"
    )
    lab.run("backend-3", backend)
    for name in lab.backends:
        lab.run(name, "systemctl start dovecot", check=True)
        by_hand(lab, f"update {name} 100", f"up {name}")
    wait_for("the ring is as usual", lab.is_as_usual)


def told(scene: Scene) -> str:
    """The thread in short, for a test that went wrong."""
    return "\n".join(one.text[:300] for one in scene.thread)
