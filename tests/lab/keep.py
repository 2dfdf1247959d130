"""Starts and ends the processes of a lab: the keeper, and through it the hosts.

Knows addresses, ports and processes, and nothing of rings.
"""

import socket
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Self

from tests.lab.files import Host
from tests.patience import PATIENCE

PORTS = (22, 24, 143)
# A lab that was just killed takes a moment to go.
FREE_WITHIN = timedelta(seconds=3)
ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
)


class LabError(Exception):
    """The lab could not be had, or did not do in time what it should."""


def wait_for(what: str, holds: Callable[[], bool], *, within: timedelta = PATIENCE) -> None:
    """Return soon after `holds` does; LabError, naming `what`, when it does not in time.

    Looks take a fifth of the time at most: those into a host are processes, and without a pause fill a core.
    """
    end = time.monotonic() + within.total_seconds()
    looked = time.monotonic()
    while not holds():
        if time.monotonic() > end:
            raise LabError(f"not within {within.total_seconds():g} s: {what}")
        time.sleep(max(0.02, 4 * (time.monotonic() - looked)))
        looked = time.monotonic()


@dataclass(frozen=True, kw_only=True)
class Keeper:
    """The process that all hosts hang on; `first_process` has, by host name, the pid of the host's PID 1."""

    process: subprocess.Popen[str]
    first_process: dict[str, int]

    @classmethod
    def start(cls, directory: Path, group: str, hosts: Sequence[Host]) -> Self:
        """Start all hosts on the trees under `directory`, in that control group; returns when their ports answer."""
        program = Path(__file__).parent / "keeper"
        names = [host.name for host in hosts]
        with (directory / "keeper.log").open("w") as log:
            process = subprocess.Popen(
                ["unshare", "--mount", "--propagation=private", program, directory, group, *names],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                # A Ctrl-C is for the tests: the keeper is to go by the pipe's end, after they had their say.
                start_new_session=True,
            )
        keeper = cls(process=process, first_process={})
        try:
            keeper._wait_for_hosts(hosts)
        except LabError as error:
            logs = "\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in directory.glob("*.log"))
            keeper.stop()
            raise LabError(f"{error}\n{logs}") from None
        except BaseException:
            keeper.stop()
            raise
        return keeper

    def _wait_for_hosts(self, hosts: Sequence[Host]) -> None:
        starters: dict[str, int] = {}
        assert self.process.stdout is not None
        for _ in hosts:
            name, _, pid = self.process.stdout.readline().partition(" ")
            if not pid:
                raise LabError("the keeper ended at once")
            starters[name] = int(pid)
        wait_for("every host serves", lambda: all(serves(host) for host in hosts))
        for name, starter in starters.items():
            children = Path(f"/proc/{starter}/task/{starter}/children").read_text().split()
            self.first_process[name] = int(children[0])

    def entering(self, host: str) -> list[str]:
        """The beginning of a command that runs inside the host, as its root."""
        spaces = ("--mount", "--pid", "--uts", "--ipc", "--cgroup")
        return ["nsenter", f"--target={self.first_process[host]}", *spaces, "--", "env", "-i", *ENVIRONMENT]

    def stop(self) -> None:
        """Kill every host; returns when nothing of them is left."""
        self.process.communicate(timeout=30)  # closes the pipe


def serves(host: Host) -> bool:
    return all(greets(host.ip, port) for port in PORTS)


def greets(ip: str, port: int) -> bool:
    """Whether a server says its first line there: one that is still starting takes a connection too."""
    try:
        with socket.create_connection((ip, port), timeout=2) as connection:
            return bool(connection.recv(1))
    except OSError:
        return False


def wait_until_free(hosts: Sequence[Host]) -> None:
    """Return when nobody listens on the lab's addresses; LabError if somebody does not stop to."""
    try:
        wait_for("free addresses", lambda: not taken(hosts), within=FREE_WITHIN)
    except LabError:
        raise LabError(
            f"taken: {', '.join(taken(hosts))}. Another lab is up, or a server of this machine has every address."
        ) from None


def taken(hosts: Sequence[Host]) -> list[str]:
    return [f"{host.ip}:{port}" for host in hosts for port in PORTS if not is_free(host.ip, port)]


def is_free(ip: str, port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: connections that are only waiting for their time to run out do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ip, port))
        except OSError:
            return False
    return True
