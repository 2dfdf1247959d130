"""SSH servers on the loopback for a test: machines, the OpenSSH files that reach them, a network that fails."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from bot.adapters.ssh import SshHosts
from bot.core.hosts.command import Command
from bot.core.hosts.fence import Fence
from bot.core.hosts.identity import QUESTION
from bot.core.hosts.inventory import Host
from tests.fakes import FakeClock

Process = asyncssh.SSHServerProcess[bytes]


async def _say(process: Process, *words: str) -> None:
    process.stdout.write(" ".join(words).encode())


async def _cat(process: Process) -> None:
    process.stdout.write(await process.stdin.read())


async def _hang(_process: Process) -> None:
    await asyncio.Event().wait()


async def _flood(process: Process, count: str) -> None:
    process.stdout.write(b"x" * int(count))
    process.stderr.write(b"y" * int(count))
    await process.stdout.drain()


async def _binary(process: Process) -> None:
    process.stdout.write(b"gr\xc3\xbc\xc3\x9fe\t\x1b[31m\x00\xff\r\nend\n")


async def _die(process: Process, name: str) -> None:
    process.exit_with_signal(name)


async def _fail(process: Process, status: str) -> None:
    process.stderr.write(b"sudo: a password is required\n")
    process.exit(int(status))


async def _cut(process: Process) -> None:
    process.channel.get_connection().abort()
    await asyncio.Event().wait()


async def _vanish(process: Process) -> None:
    process.channel.abort()


async def _locale(process: Process) -> None:
    process.stdout.write(process.env.get("LC_ALL", "the host's own").encode())


COMMANDS: Mapping[str, Callable[..., Awaitable[None]]] = {
    "say": _say,
    "cat": _cat,
    "hang": _hang,
    "flood": _flood,
    "binary": _binary,
    "die": _die,
    "fail": _fail,
    "cut": _cut,
    "vanish": _vanish,
    "locale": _locale,
}


class _Refusing(asyncssh.SSHServerSession[bytes]):
    """A session that takes no command; or whose connection ends with the answer to it, or before."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def exec_requested(self, command: str) -> bool:
        self._machine.log.append(command)
        connection = self._machine.connections[-1]
        match self._machine.answers:
            case "yes, then disconnects":
                asyncio.get_running_loop().call_soon(connection.disconnect, asyncssh.DISC_BY_APPLICATION, "enough")
            case "disconnects":
                connection.disconnect(asyncssh.DISC_BY_APPLICATION, "enough")
            case "closes":
                connection.abort()
        return self._machine.answers != "no command"


def _words(line: str) -> list[str]:
    """The command itself, out of its fence and without its sudo."""
    words = shlex.split(line)
    if words[0] in {"flock", "sh"}:
        words = shlex.split(words[-1].partition("exec ")[2])
    return words[3:] if words[0] == "sudo" else words


@dataclass
class Machine:
    """An SSH server on the loopback, its log of command lines, and the connections it has had.

    `says`: its answer to who it is; a shell that does not understand the question when it is empty. The question is not
    in the log, but counted.
    """

    name: str
    host_key: asyncssh.SSHKey
    log: list[str] = field(default_factory=list)
    connections: list[asyncssh.SSHServerConnection] = field(default_factory=list)
    answers: str = "as told"
    says: str = ""
    asked: int = 0
    port: int = 0
    arrived: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def process(self, process: Process) -> None:
        assert process.command is not None
        if process.command == QUESTION.text:
            self.asked += 1
            process.stdout.write(self.says.encode())
            process.exit(0 if self.says else 127)
            return
        self.log.append(process.command)
        async with self.arrived:
            self.arrived.notify_all()
        command = _words(process.command)
        await COMMANDS[command[0]](process, *command[1:])
        process.exit(0)

    async def begun(self, count: int) -> None:
        """Returns when that many commands have arrived."""
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.log) >= count)


class _Server(asyncssh.SSHServer):
    def __init__(self, machine: Machine) -> None:
        self._machine = machine

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._machine.connections.append(conn)

    def connection_requested(self, *_: object) -> bool:
        return True  # it may be a jump host

    def session_requested(self) -> _Refusing | bool:
        return _Refusing(self._machine) if self._machine.answers != "no session" else False


class Site:
    """Machines, the keys, and the files of OpenSSH that say how to reach them."""

    def __init__(self, folder: Path, stack: AsyncExitStack) -> None:
        self.folder = folder
        self.known_hosts = folder / "known_hosts"
        self.config = folder / "config"
        self._stack = stack
        self._key = asyncssh.generate_private_key("ssh-ed25519")
        self._key.write_private_key(str(folder / "id"))
        (folder / "id").chmod(0o600)
        self.known_hosts.write_text("")
        self.config.write_text("")

    async def machine(self, name: str, *, known: bool = True, answers: str = "as told") -> Machine:
        machine = Machine(name, asyncssh.generate_private_key("ssh-ed25519"), answers=answers)
        acceptor = await asyncssh.create_server(
            lambda: _Server(machine),
            "127.0.0.1",
            0,
            server_host_keys=[machine.host_key],
            authorized_client_keys=asyncssh.import_authorized_keys(self._key.export_public_key().decode()),
            process_factory=machine.process if answers == "as told" else None,
            encoding=None,
        )
        self._stack.push_async_callback(_stop, acceptor, machine)
        machine.port = acceptor.get_port()
        if known:
            self.know(machine)
        return machine

    def know(self, machine: Machine, key: asyncssh.SSHKey | None = None, port: int | None = None) -> None:
        public = (key or machine.host_key).export_public_key().decode()
        with self.known_hosts.open("a") as file:
            file.write(f"[127.0.0.1]:{port or machine.port} {public}")

    def reach(self, name: str, port: int, *more: str) -> Host:
        lines = (
            f"Host {name}",
            "HostName 127.0.0.1",
            f"Port {port}",
            "User bot",
            f"IdentityFile {self.folder}/id",
            *more,
        )
        with self.config.open("a") as file:
            file.write("\n".join(lines) + "\n")
        return Host(name=name)

    def hosts(self, **changed: Any) -> SshHosts:
        settings: dict[str, Any] = {
            "config": [self.config],
            "known_hosts": self.known_hosts,
            "connect_timeout": timedelta(seconds=5),
            "keepalive": timedelta(seconds=5),
            "clock": FakeClock(),
        }
        hosts = SshHosts(**settings | changed)
        self._stack.push_async_callback(hosts.close)
        return hosts


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with AsyncExitStack() as stack:
        yield Site(tmp_path, stack)


def run(*argv: str, **more: Any) -> Command:
    return Command(argv=argv, **{"timeout": timedelta(seconds=5), **more})


MACHINE_ID = "0123456789abcdef0123456789abcdef"
BOOT_ID = "11111111-2222-4333-8444-555555555555"
WHO = f"127.0.0.1 50000 127.0.0.1 22\n{MACHINE_ID}\n{BOOT_ID}\n[]\n"
"""What a host without `ip` says."""


def fence(connection: str, lock: str | None = "/home/bot/the.lock") -> Fence:
    return Fence(connection=connection, not_after=2_000_000_000, lock=lock)


async def _stop(acceptor: asyncssh.SSHAcceptor, machine: Machine) -> None:
    acceptor.close()
    for connection in machine.connections:
        connection.abort()
        await connection.wait_closed()
    await acceptor.wait_closed()


@dataclass
class Relay:
    """A way to a port that carries nothing while it is not open, and closes nothing either."""

    port: int
    open: asyncio.Event


@asynccontextmanager
async def relay(to: int) -> AsyncIterator[Relay]:
    is_open = asyncio.Event()
    is_open.set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await is_open.wait()
            writer.write(data)
        writer.close()

    async def carry_both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", to)
        ends = await asyncio.gather(carry(reader, far_writer), carry(far_reader, writer), return_exceptions=True)
        assert all(end is None or isinstance(end, OSError) for end in ends)

    async with await asyncio.start_server(carry_both, "127.0.0.1", 0) as server:
        yield Relay(server.sockets[0].getsockname()[1], is_open)
        is_open.set()


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[int, list[object]]]:
    """A port that takes connections and says nothing, and the connections that came."""
    came: list[object] = []

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.append(writer)
        await reader.read()
        writer.close()

    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1], came
