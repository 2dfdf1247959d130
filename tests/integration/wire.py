"""A bot, a host, and a router between them that stops carrying at a bad moment: a change that arrives late, for real.

Each of the three has a network of its own: the first process is the router, the host runs a real sshd, and the bot is a
process that is gone when the network heals. `begin` is for tests; the rest runs in namespaces that go with it.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

import asyncssh

from bot.adapters.clock import SystemClock
from bot.adapters.ssh import SshHosts, connections
from bot.adapters.ssh.session import CommandSession
from bot.core.hosts.command import Command
from bot.core.hosts.fence import CLOCK, Fence, read_clock
from bot.core.hosts.identity import not_proved_to_be
from bot.core.hosts.inventory import Backend
from bot.errors import HostError
from tests.lab.files import new_key
from tests.lab.keep import greets, wait_for

HOST = "192.0.2.6"

WIRES = """
ip link set lo up
ip link add name to-bot type veth peer name eth0 netns {bot}
ip link add name to-host type veth peer name eth0 netns {host}
ip address add 192.0.2.1/30 dev to-bot
ip address add 192.0.2.5/30 dev to-host
ip link set to-bot up
ip link set to-host up
nsenter --net=/proc/{bot}/ns/net sh -e -c '
    ip address add 192.0.2.2/30 dev eth0
    ip link set eth0 up
    ip route add default via 192.0.2.1'
nsenter --net=/proc/{host}/ns/net sh -e -c '
    ip address add 192.0.2.6/30 dev eth0
    ip link set eth0 up
    ip route add default via 192.0.2.5'
mount -t tmpfs run /run
mkdir /run/sshd
"""

SSHD = """
ListenAddress {ip}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/client_key.pub
ForceCommand {folder}/shell
StrictModes no
PasswordAuthentication no
UsePAM yes
PidFile none
"""

SHELL = """#!/bin/bash
bash -c "$SSH_ORIGINAL_COMMAND"
status=$?
printf '%s %s\\n' "$status" "$SSH_ORIGINAL_COMMAND" >>{folder}/log
exit $status
"""

SSH = """
Host far
    HostName {ip}
    User root
    IdentityFile {folder}/client_key
    UserKnownHostsFile {folder}/known_hosts
"""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """`fenced`: the change goes in a fence that closes after a second. `cut`: seconds without a network.

    `endless`: the kernel tries as long as it does by itself.
    """

    fenced: bool
    cut: float
    endless: bool = False


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """`told`: what the bot heard. `waiting`: connections with something unsent, when the network healed.

    `arrived`: the exit status of the change as the host noted it, None when it never came; `ran`: it did its work.
    """

    told: str
    waiting: int
    arrived: int | None
    ran: bool


# for tests


SPACES = ("--net", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child=SIGKILL", "--mount-proc")


def missing() -> str | None:
    """The reason why such a network cannot be had here, or None where it can."""
    trial = ["unshare", *SPACES, "ip", "link", "add", "name", "one", "type", "veth", "peer", "name", "other"]
    tried = subprocess.run(trial, capture_output=True, text=True, check=False)
    return f"networks of one's own are not permitted here: {tried.stderr.strip()}" if tried.returncode else None


async def begin(folder: Path, scene: Scene) -> Outcome:
    """Play a scene from its beginning to its end, in a folder without a space in its name."""
    program = (sys.executable, "-m", "tests.integration.wire", str(folder), json.dumps(asdict(scene)), "router")
    played = await asyncio.create_subprocess_exec("unshare", *SPACES, *program, stdout=subprocess.PIPE)
    try:
        printed, _ = await played.communicate()
    finally:
        if played.returncode is None:
            played.kill()
    return Outcome(**json.loads(printed))


# the bot


async def bot(folder: Path, scene: Scene) -> None:
    """Look at the host, send the change into a network that breaks just then, give it up, and be gone."""
    if scene.endless:
        connections.UNACKNOWLEDGED = timedelta(minutes=15)
    seconds = timedelta(seconds=5)
    hosts = SshHosts([folder / "ssh_config"], folder / "known_hosts", seconds, seconds, SystemClock())
    far = Backend.model_validate({"name": "far", "ip": HOST})
    identity = await hosts.identity(far)
    assert not_proved_to_be(far, identity) == ""
    now = read_clock((await hosts.run(far, CLOCK)).stdout)
    assert now is not None
    fence = Fence(connection=identity.connection, not_after=now + 1, lock=f"{folder}/lock") if scene.fenced else None
    made = CommandSession.connection_made

    def made_and_cut(self: CommandSession, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """The channel is open, and the command is sent next."""
        print("cut", flush=True)
        sys.stdin.readline()
        made(self, chan)

    CommandSession.connection_made = made_and_cut  # type: ignore[method-assign] # in a process of its own
    try:
        await hosts.run(far, Command(argv=("touch", f"{folder}/ran"), timeout=timedelta(seconds=1)), fence=fence)
    except HostError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
    os._exit(0)


# the router


def carry(*, on: bool) -> None:
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1" if on else "0")


def inside(place: int, *command: str) -> list[str]:
    return ["nsenter", f"--net=/proc/{place}/ns/net", *command]


def a_place() -> int:
    """A network with nothing in it, named by a process that keeps it."""
    place = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
    ours = Path("/proc/self/ns/net").readlink()
    wait_for("a network", lambda: Path(f"/proc/{place.pid}/ns/net").readlink() != ours)
    return place.pid


def write(folder: Path) -> None:
    folder.mkdir()
    for key in ("host_key", "client_key"):
        new_key(folder / key)
    for name, text in (("sshd_config", SSHD), ("shell", SHELL), ("ssh_config", SSH)):
        (folder / name).write_text(text.format(folder=folder, ip=HOST))
    (folder / "shell").chmod(0o755)
    (folder / "known_hosts").write_text(f"{HOST} {(folder / 'host_key.pub').read_text()}")


def unacknowledged(place: int) -> int:
    """How many connections of a network have sent what nobody has acknowledged."""
    table = subprocess.run(inside(place, "cat", "/proc/net/tcp"), capture_output=True, text=True, check=True).stdout
    return sum(1 for row in table.splitlines()[1:] if not row.split()[4].startswith("00000000:"))


def noted(folder: Path) -> int | None:
    """What the host noted of the change: its exit status."""
    log = folder / "log"
    for note in log.read_text().splitlines() if log.exists() else ():
        if "touch" in note:
            return int(note.split()[0])
    return None


def built(folder: Path) -> int:
    """Build the host and the ways to it; returns the bot's place."""
    write(folder)
    places = {"bot": a_place(), "host": a_place()}
    subprocess.run(["sh", "-e", "-c", WIRES.format(**places)], check=True)
    carry(on=True)
    sshd = inside(places["host"], "/usr/sbin/sshd", "-D", "-e", "-f", f"{folder}/sshd_config")
    subprocess.Popen(sshd, stderr=(folder / "sshd.log").open("w"))
    wait_for("sshd serves", lambda: greets(HOST, 22))
    return places["bot"]


def play(folder: Path, scene: Scene) -> Outcome:
    place = built(folder)
    program = (sys.executable, "-m", "tests.integration.wire", str(folder), json.dumps(asdict(scene)), "bot")
    with subprocess.Popen(inside(place, *program), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        assert sender.stdout.readline() == "cut\n"
        carry(on=False)
        since = time.monotonic()
        told, _ = sender.communicate("\n")
    return healed(folder, scene, place, told, since)


def healed(folder: Path, scene: Scene, place: int, told: str, since: float) -> Outcome:
    """The bot is gone, and the network comes back."""
    time.sleep(max(0.0, since + scene.cut - time.monotonic()))
    waiting = unacknowledged(place)
    assert noted(folder) is None
    carry(on=True)
    if waiting:
        wait_for("what was sent has come", lambda: noted(folder) is not None)
    # Else nothing is left that could come: the sender has given up, and the network keeps nothing.
    return Outcome(told=told, waiting=waiting, arrived=noted(folder), ran=(folder / "ran").exists())


if __name__ == "__main__":
    here, wanted = Path(sys.argv[1]), Scene(**json.loads(sys.argv[2]))
    if sys.argv[3] == "bot":
        asyncio.run(bot(here, wanted))
    print(json.dumps(asdict(play(here, wanted))))
