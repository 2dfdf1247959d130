"""One small interface to the practice ring and to the real one, so that the same tests can be run on both."""

from __future__ import annotations

import asyncio
import itertools
import shlex
import shutil
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from pathlib import Path

from bot.adapters.clock import SystemClock
from bot.adapters.ssh import SshHosts
from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Ring, Target
from bot.core.readings.outputs import Reading
from bot.core.readings.probes import PROBES
from bot.engine.looks.looking import Looking
from bot.engine.ports import Timings
from bot.practice.ring.ring import PracticeRing
from bot.practice.site import Site, copy_config, practice_site
from tests.lab import Lab, wait_for
from tests.lab.imap import connected
from tests.lab.ring import TEST_MAILS, deliver
from tests.patience import PATIENCE

NAME = "backend-3"
PACKAGES = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")
NEVER_WRITTEN_TO = "newcomer"


class EitherRing(ABC):
    """A ring as the bot has it, backend-3 of it as the target, and what a test does to it behind the bot's back."""

    def __init__(self, site: Site) -> None:
        sudo = {"sudo": True}
        ring = Ring.model_validate(
            {
                "name": "either",
                "test_user": site.test_user,
                "metacache": {},
                "directors": [{"name": name, **sudo} for name in site.directors],
                "backends": [{"name": name, "ip": ip, **sudo} for name, ip in site.backends.items()],
            }
        )
        self.target = Target(ring=ring, backend=next(one for one in ring.backends if one.name == NAME))
        self.ip = str(self.target.backend.ip)
        self.hosts = SshHosts(
            [site.ssh_config], site.known_hosts, timedelta(seconds=10), timedelta(seconds=10), SystemClock()
        )
        self.looking = Looking(self.hosts, SystemClock(), Timings(), self.target)

    async def run(self, host: str, command: str | Sequence[str] | Command, *, material: bytes = b"") -> Result:
        """Run it over SSH as the bot does: through sudo, as it is or as a text that is split like the shell's."""
        if not isinstance(command, Command):
            argv = shlex.split(command) if isinstance(command, str) else command
            command = Command(argv=tuple(argv), timeout=timedelta(minutes=3))
        return await self.hosts.run(self.target.host(host), command, material=material)

    async def ask(self, host: str, probe: str, **asks: str) -> Result:
        """The raw answer to a probe's question."""
        return await self.hosts.run(self.target.host(host), PROBES[probe].command(self.target, asks))

    async def read(self, host: str, probe: str, **asks: str) -> Reading:
        """What the probe reads there; raises Unreadable as it does for the bot."""
        return PROBES[probe].read(self.target, asks, await self.ask(host, probe, **asks))

    async def until_read(self, host: str, probe: str, **expected: str | int | bool) -> None:
        """Wait until a probe without parameters reads that."""
        async with asyncio.timeout(PATIENCE.total_seconds()):
            while not expected.items() <= (await self.read(host, probe)).items():
                await asyncio.sleep(0.1)

    @abstractmethod
    async def other_version(self) -> str:
        """A version of all dovecot packages that is offered, and not installed."""

    @abstractmethod
    def config(self, folder: Path) -> None:
        """Write the backend's configuration to a new folder."""

    @abstractmethod
    async def log_users_in(self) -> None:
        """See to it that users whom no director has mapped come in through the directors."""

    @abstractmethod
    async def restart(self, *directors: str) -> None:
        """Restart these directors together, all of them or one."""

    @abstractmethod
    async def set_away(self, director: str, *, away: bool) -> None:
        """Stop a director's dovecot, or start it."""

    @abstractmethod
    async def empty_mailboxes(self) -> None:
        """Take all mail out of the test user's mailbox."""

    @abstractmethod
    async def set_mirror_away(self) -> None:
        """Have the backend reach no mirror any more."""

    @abstractmethod
    async def hold(self, package: str) -> None:
        """Put a package of the backend on hold."""

    @abstractmethod
    async def interrupt_dpkg(self) -> None:
        """Leave the backend's dpkg as one that was interrupted leaves it."""

    @abstractmethod
    def dpkg_locked(self) -> AbstractAsyncContextManager[None]:
        """Another program holds the lock of the backend's dpkg, until the block ends."""

    @abstractmethod
    async def know_only_some_users(self) -> None:
        """Have the backend know users by name, so that there are some whom it does not know."""


class Practice(EitherRing):
    """The practice ring."""

    def __init__(self, ring: PracticeRing) -> None:
        super().__init__(practice_site(ring))
        self._ring = ring
        dovecot = ring.backends[NAME].dovecot
        dovecot.users.add(NEVER_WRITTEN_TO)
        dovecot.never_written_to.add(NEVER_WRITTEN_TO)

    async def other_version(self) -> str:
        packages = self._ring.backends[NAME].packages
        return next(one for one in packages.offered[PACKAGES[0]] if one != packages.installed[PACKAGES[0]])

    async def set_mirror_away(self) -> None:
        self._ring.backends[NAME].packages.mirror_away = True

    async def hold(self, package: str) -> None:
        self._ring.backends[NAME].packages.held.add(package)

    async def interrupt_dpkg(self) -> None:
        self._ring.backends[NAME].packages.interrupted = True

    @asynccontextmanager
    async def dpkg_locked(self) -> AsyncIterator[None]:
        packages = self._ring.backends[NAME].packages
        packages.locked_by = "unattended-upgr"
        yield
        packages.locked_by = ""

    def config(self, folder: Path) -> None:
        copy_config(self._ring.backends[NAME].disk, folder)

    async def log_users_in(self) -> None:
        """Its users come by themselves."""

    async def restart(self, *directors: str) -> None:
        if len(directors) == 1:
            self._ring.restart_director(directors[0])
        else:
            self._ring.restart_all_directors()

    async def set_away(self, director: str, *, away: bool) -> None:
        self._ring.directors[director].away = away

    async def empty_mailboxes(self) -> None:
        self._ring.backends[NAME].dovecot.mailboxes_empty = True

    async def know_only_some_users(self) -> None:
        """It does."""


@asynccontextmanager
async def practising() -> AsyncIterator[Practice]:
    """A practice ring of its own for every test: it costs next to nothing."""
    async with PracticeRing(learning_takes=timedelta(seconds=0.4)) as ring:
        practice = Practice(ring)
        try:
            yield practice
        finally:
            await practice.hosts.close()


_NEWCOMERS = itertools.count(1)
ENOUGH_FOR_EVERY_BACKEND = 48
"""Of so many users, whose backends their names' hashes decide, three backends all get some."""


class Real(EitherRing):
    """The real one, which all tests share: `keep` once, and `put_back` after each."""

    def __init__(self, lab: Lab) -> None:
        folder = lab.directory
        site = Site(
            directors=tuple(lab.directors),
            backends={name: host.ip for name, host in lab.backends.items()},
            ssh_config=folder / "ssh_config",
            known_hosts=folder / "known_hosts",
            test_user=lab.test_user,
        )
        super().__init__(site)
        self._lab = lab

    async def _inside(self, host: str, script: str) -> str:
        """Run a script as root inside the host, without SSH."""
        return (await asyncio.to_thread(self._lab.run, host, script, check=True)).stdout

    async def other_version(self) -> str:
        return await asyncio.to_thread(self._lab.other_version, NAME)

    def config(self, folder: Path) -> None:
        shutil.copytree(self._lab.dovecot_config(NAME), folder, dirs_exist_ok=True)

    async def log_users_in(self) -> None:
        directors = itertools.cycle(self._lab.directors.values())
        for number in itertools.islice(_NEWCOMERS, ENOUGH_FOR_EVERY_BACKEND):
            async with connected(next(directors).ip, PATIENCE) as session:
                await session.command(f"LOGIN newcomer-{number} {self._lab.password}")
                await session.command("LOGOUT")

    async def restart(self, *directors: str) -> None:
        if len(directors) == 1:
            await asyncio.to_thread(self._lab.restart_director, directors[0])
        else:
            await asyncio.to_thread(self._lab.restart_all_directors)

    async def set_away(self, director: str, *, away: bool) -> None:
        await self._inside(director, f"systemctl {'stop' if away else 'start'} dovecot")

    async def empty_mailboxes(self) -> None:
        await self._inside(NAME, f"doveadm expunge -u {self._lab.test_user} mailbox INBOX all")

    async def set_mirror_away(self) -> None:
        await self._inside(NAME, f"""echo 'Acquire::http::Proxy "http://127.0.0.1:9/";' >{_AWAY}""")

    async def hold(self, package: str) -> None:
        await self._inside(NAME, f"apt-mark hold {package}")

    async def interrupt_dpkg(self) -> None:
        await self._inside(NAME, f"touch {_INTERRUPTED}")

    @asynccontextmanager
    async def dpkg_locked(self) -> AsyncIterator[None]:
        pid = await self._inside(NAME, f"perl -e '{_HOLDS_DPKG}' >/dev/null 2>&1 & echo $!")
        await self._inside(NAME, "timeout 30 sh -c 'while apt-get -qq check 2>/dev/null; do sleep 0.1; done'")
        try:
            yield
        finally:
            await self._inside(NAME, f"kill {pid}")

    async def know_only_some_users(self) -> None:
        """Static users are everybody; a file knows names, here none."""
        await self._inside(NAME, f"printf '{_BY_NAME}' >/etc/dovecot/conf.d/10-auth.conf; touch /etc/dovecot/users")
        await self._inside(NAME, "doveadm reload")

    async def keep(self) -> None:
        """Set aside what the tests change on the backend's disk, once."""
        await self._inside(NAME, f"test -e /kept || (mkdir /kept && cp -a --parents {_KEPT} /kept)")

    async def put_back(self) -> None:
        """Everything as it was before the test, whatever it did."""
        await self._inside(NAME, _PUT_BACK)
        for name in self._lab.directors:
            await self._inside(name, "systemctl start dovecot")
        await self._inside("director-1", f"doveadm director update {self.ip} 100; doveadm director up {self.ip}")
        usual = lambda: self._lab.is_synced() and self._lab.is_as_usual()  # noqa: E731
        await asyncio.to_thread(wait_for, "the ring is as usual", usual, within=PATIENCE)
        await asyncio.to_thread(wait_for, "the test user has mail", self._mailed, within=PATIENCE)

    def _mailed(self) -> bool:
        """Mail for the test user, if there is none."""
        user = self._lab.test_user
        counted = self._lab.run(NAME, f"doveadm -f flow mailbox status -u {user} messages INBOX")
        if "messages=0" in counted.stdout:
            deliver(self.ip, user, count=TEST_MAILS)
        return f"messages={TEST_MAILS}" in counted.stdout


_BY_NAME = "".join(
    f"{kind} {{\\n  driver = {driver}\\n  args = {args}\\n}}\\n"
    for kind, driver, args in (("passdb", "static", "nopassword=y"), ("userdb", "passwd-file", "/etc/dovecot/users"))
)
_AWAY = "/etc/apt/apt.conf.d/99mirror-away"
_INTERRUPTED = "/var/lib/dpkg/updates/0001"
_HOLDS_DPKG = (
    "use Fcntl; open my $file, q(+<), q(/var/lib/dpkg/lock-frontend) or die;"
    " fcntl($file, F_SETLKW, my $all = pack(q(s s x4 q q l x4), F_WRLCK, 0, 0, 0, 0)) or die; sleep"
)
"""As apt locks it: dpkg's locks are of fcntl, which flock(1) does not meet."""
_KEPT = "/etc/dovecot /var/lib/dovecot/metacache /var/dovecot/vmail"
_PUT_BACK = f"""set -e
[ ! -L /run/systemd/system/dovecot.service ] || systemctl unmask --runtime dovecot
systemctl reset-failed dovecot || true
for it in {_KEPT}; do diff -r /kept$it $it || {{ rm -rf $it && cp -a /kept$it $it; }}; done
rm -rf {_AWAY} {_INTERRUPTED} /var/cache/dovecot-bot /etc/dovecot.*
apt-mark unhold 'dovecot-*'
systemctl start dovecot
doveadm reload
"""
