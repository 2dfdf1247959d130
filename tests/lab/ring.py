"""The lab itself: a ring of real hosts, on which tests act, and which they read.

The truth is read here without the bot's means: not over SSH, but by entering a host's namespaces as root.
"""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from smtplib import LMTP
from types import TracebackType
from typing import Self

from tests.lab import said
from tests.lab.files import EVERYTHING, PASSWORD, Host, write_hosts
from tests.lab.keep import Keeper, LabError, wait_for, wait_until_free
from tests.lab.needs import missing
from tests.lab.said import Ran

_NUMBER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Of this process among those that share the tests out: each has a lab with addresses of its own."""

DIRECTORS = tuple(Host(name=f"director-{n}", role="director", ip=f"127.{_NUMBER}.1.{n}") for n in (1, 2))
BACKENDS = tuple(Host(name=f"backend-{n}", role="backend", ip=f"127.{_NUMBER}.2.{n}") for n in (1, 2, 3))
GROUP = f"dovecot-lab-{_NUMBER}"
"""The control group of the lab's hosts, always of the same name: see the keeper."""
HOSTS = (*DIRECTORS, *BACKENDS)

PACKAGES = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")
TEST_USER = "testuser"
TEST_MAILS = 3
EXPIRE_SOON = timedelta(seconds=10)


class Lab:
    """Two directors and three backends, up and in agreement inside the `with`, and gone without a trace after.

    `sudoers` is the text that gives the user `mailbot` its rights (default: everything, without a password).
    `user_expire` is the directors' director_user_expire, in whole seconds.

    Its hosts live as long as this process holds a pipe open, so they go with the tests however these end.
    """

    def __init__(self, sudoers: str | None = None, *, user_expire: timedelta = EXPIRE_SOON) -> None:
        self.directors = {host.name: host for host in DIRECTORS}
        self.backends = {host.name: host for host in BACKENDS}
        self.test_user = TEST_USER
        self.password = PASSWORD
        self._sudoers = EVERYTHING if sudoers is None else sudoers
        self._user_expire = user_expire
        self._directory: Path | None = None
        self._keeper: Keeper | None = None

    def __enter__(self) -> Self:
        if reason := missing():
            raise LabError(reason)
        wait_until_free(HOSTS)
        self._directory = Path(tempfile.mkdtemp(prefix="dovecot-lab-"))
        try:
            write_hosts(self._directory, HOSTS, sudoers=self._sudoers, user_expire=self._user_expire)
            self._keeper = Keeper.start(self._directory, GROUP, HOSTS)
            for backend in BACKENDS:
                deliver(backend.ip, TEST_USER, count=TEST_MAILS)
            self._wait_for_ring()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        try:
            if self._keeper is not None:
                self._keeper.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
            self._keeper = self._directory = None

    @property
    def directory(self) -> Path:
        """Where ssh_config, known_hosts and client_key are; it goes with the lab."""
        if self._directory is None:
            raise LabError("the lab is not up")
        return self._directory

    def dovecot_config(self, host: str) -> Path:
        """The directory that became the host's /etc/dovecot: complete, and valid there."""
        return self.directory / "hosts" / host / "etc/dovecot"

    def run(
        self,
        host: str,
        command: str | Sequence[str],
        *,
        check: bool = False,
        timeout: timedelta = timedelta(minutes=2),
    ) -> subprocess.CompletedProcess[str]:
        """Run a command as root inside the host, without SSH: text by bash, a sequence as it is.

        Blocks, so async tests call it through `asyncio.to_thread` when something else has to go on meanwhile.
        """
        if self._keeper is None:
            raise LabError("the lab is not up")
        arguments = ["bash", "-c", command] if isinstance(command, str) else command
        return subprocess.run(
            [*self._keeper.entering(host), *arguments],
            capture_output=True,
            text=True,
            check=check,
            timeout=timeout.total_seconds(),
            stdin=subprocess.DEVNULL,
        )

    def read(self, host: str, path: str) -> str:
        """What a file of the host holds, or nothing if there is none; costs no process there, as `run` does."""
        if self._keeper is None:
            raise LabError("the lab is not up")
        file = Path(f"/proc/{self._keeper.first_process[host]}/root{path}")
        return file.read_text() if file.exists() else ""

    def restart_director(self, name: str) -> None:
        """Restart one director's dovecot; returns when it answers, perhaps before it has the ring's state."""
        self.run(name, "systemctl restart dovecot", check=True)
        wait_for(f"{name} answers", lambda: self._answers(name))

    def restart_all_directors(self) -> None:
        """Have all directors down at the same time, so that the ring forgets; returns when it is synced."""
        for action in ("stop", "start"):
            for name in self.directors:
                self.run(name, f"systemctl {action} dovecot", check=True)
        self._wait_for_ring()

    def cut_ssh(self, host: str) -> bool:
        """Break the bot's SSH connections to the host; what runs there runs on. False if there was none."""
        return self.run(host, "pkill -KILL --exact --euid mailbot sshd").returncode == 0

    def log(self, host: str) -> list[Ran]:
        """Every command that the host ran for the bot's user, in order of time."""
        found: list[Ran] = []

        def read() -> bool:
            try:
                found[:] = [*said.of_ssh(self.read(host, said.SSH_LOG)), *said.of_sudo(self.read(host, said.SUDO_LOG))]
            except json.JSONDecodeError:  # sudo is writing
                return False
            return True

        wait_for(f"{host}'s logs can be read", read)
        return sorted(found, key=lambda ran: ran.at)

    def installed_version(self, host: str) -> str:
        """The version of dovecot-core that is installed on the host."""
        query = ["dpkg-query", "--show", "--showformat=${Version}", PACKAGES[0]]
        return self.run(host, query, check=True).stdout

    def other_version(self, host: str) -> str:
        """A version of all dovecot packages that apt offers the host, and that is not the installed one."""
        offers = [set(self._offered(host, package)) for package in PACKAGES]
        others = sorted(set.intersection(*offers) - {self.installed_version(host)})
        if not others:
            raise LabError(f"apt offers {host} no other version than the installed one")
        return others[0]

    def _offered(self, host: str, package: str) -> Iterator[str]:
        for line in self.run(host, ["apt-cache", "madison", package], check=True).stdout.splitlines():
            yield line.split("|")[1].strip()

    def _answers(self, director: str) -> bool:
        return self.run(director, "doveadm director status").returncode == 0

    def _wait_for_ring(self) -> None:
        wait_for("the ring is synced", self.is_synced)

    def is_synced(self) -> bool:
        """Whether every director is connected to every other, and has nothing more to learn."""
        return all(map(self._synced, self.directors))

    def is_as_usual(self) -> bool:
        """Whether every director has every backend up with vhosts 100."""
        for director in self.directors:
            rows = self.run(director, "doveadm -f tab director status", check=True).stdout.splitlines()[1:]
            if [row.split("\t")[2:4] for row in rows] != [["100", "up"]] * len(self.backends):
                return False
        return True

    def _synced(self, director: str) -> bool:
        """Whether this director is connected to every other, and has nothing more to learn."""
        rows = self.run(director, "doveadm -f tab director ring status").stdout.splitlines()
        return len(rows) > len(self.directors) and all("synced" in row for row in rows[1:])


def deliver(ip: str, user: str, *, count: int) -> None:
    """Have a backend store mails for a user, by LMTP."""
    with LMTP(ip, 24) as server:
        for number in range(count):
            headers = f"From: lab@example.org\r\nTo: {user}@example.org\r\nSubject: Mail {number}"
            server.sendmail("lab@example.org", [user], f"{headers}\r\n\r\nHello.\r\n")
