"""A pretend host: a machine behind a real SSH server on 127.0.0.1.

A command that has begun runs to its end, even when its connection is gone, as on a real host.
"""

import asyncio
from pathlib import Path

import asyncssh

from bot.practice.machine.files import Disk
from bot.practice.machine.machine import Machine, read_fenced
from bot.practice.values import Answer, Fault, Faults, HostLog, Now, Sent, failed

_Process = asyncssh.SSHServerProcess[bytes]


class _ChannelInput:
    """Standard input of one SSH channel."""

    def __init__(self, process: _Process) -> None:
        self._process = process
        self._nobody_reads = asyncio.Event()
        self._nobody_reads.set()

    async def read(self) -> bytes:
        """Everything up to the client's end of file, or up to where the connection broke."""
        self._nobody_reads.clear()
        try:
            return await self._process.stdin.read()
        except (OSError, asyncssh.Error, asyncssh.BreakReceived, asyncssh.SignalReceived):
            return b""
        finally:
            self._nobody_reads.set()

    async def until_read(self) -> None:
        """Wait until no command is reading: a cut must not take the input from one that has begun."""
        for _ in range(3):
            await asyncio.sleep(0)
        await self._nobody_reads.wait()


class _Server(asyncssh.SSHServer):
    """Tells the host of its connections; who may log in is decided by the client key."""

    def __init__(self, host: "Host") -> None:
        self._host = host
        self._connection: asyncssh.SSHServerConnection | None = None

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._host.arrived(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self._connection is not None:
            self._host.left(self._connection)


class Host(Machine):
    """One host: a machine, and an SSH server."""

    def __init__(self, name: str, ip: str, disk: Disk, *, now: Now, log: HostLog, faults: Faults[Fault]) -> None:
        """`ip` is what directors call it; nothing ever connects there."""
        super().__init__(name, ip, disk, now=now, log=log)
        self.port = 0
        self._faults = faults
        self._unreachable = False
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None

    @property
    def unreachable(self) -> bool:
        """Whether connections are dropped, those that stand and those to come."""
        return self._unreachable

    @unreachable.setter
    def unreachable(self, value: bool) -> None:
        self._unreachable = value
        if value:
            self.drop_connections()

    def drop_connections(self) -> None:
        """Cut every connection; what runs runs on."""
        for connection in list(self._connections):
            connection.abort()

    def reboot(self) -> None:
        """A hard reset: connections and what runs end, its locks are free, and the host is up again at once."""
        self.drop_connections()
        super().reboot()

    def arrived(self, connection: asyncssh.SSHServerConnection) -> None:
        """A client connected."""
        self._connections.add(connection)
        if self._unreachable:
            # After connection_made: asyncssh is still setting the connection up while it calls that.
            asyncio.get_running_loop().call_soon(connection.abort)

    def left(self, connection: asyncssh.SSHServerConnection) -> None:
        """A client's connection ended."""
        self._connections.discard(connection)

    async def listen(self, client_key: asyncssh.SSHAuthorizedKeys, host_key: asyncssh.SSHKey) -> None:
        """Serve SSH on a free port of 127.0.0.1."""
        self._acceptor = await asyncssh.create_server(
            lambda: _Server(self),
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=client_key,
            process_factory=self._serve,
            encoding=None,
            line_editor=False,
            password_auth=False,
            kbdint_auth=False,
            encryption_algs=["aes128-gcm@openssh.com"],  # in Python, what would be agreed on costs half as much again
        )
        self.port = self._acceptor.get_port()

    async def close(self) -> None:
        """Cut the connections, end what runs, stop listening."""
        self.drop_connections()
        await self.end_all()
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.wait_closed()

    def ssh_config(self, directory: Path) -> str:
        """The part of an ssh_config file that names this host."""
        return (
            f"Host {self.name}\n  HostName 127.0.0.1\n  Port {self.port}\n  User practice\n"
            f"  IdentityFile {directory / 'client_key'}\n  IdentitiesOnly yes\n"
            f"  UserKnownHostsFile {directory / 'known_hosts'}\n  StrictHostKeyChecking yes\n"
        )

    async def _serve(self, process: _Process) -> None:
        command = process.command or ""
        fence = read_fenced(command)
        line = fence.line if fence is not None else command
        fault = self._faults.strike(lambda one: one.hits(self.name, line))
        if fault is not None and fault.when == "before":
            await self._break(process, fault)
            return
        stdin = _ChannelInput(process)
        if fault is not None and fault.when == "late":
            self.begin(command, await _received(stdin), after=fault.delay)
            await self._break(process, fault)
            return
        task = self.begin(command, stdin)
        if fault is not None and fault.when == "during" and fault.what == "cut":
            await stdin.until_read()
            await self._break(process, fault)
            return
        # Shielded: the end of the connection ends this coroutine, but not the command.
        answer = await asyncio.shield(task)
        if fault is not None:
            await self._break(process, fault)
        else:
            await _reply(process, answer)

    @staticmethod
    async def _break(process: _Process, fault: Fault) -> None:
        match fault.what:
            case "cut":
                connection: asyncssh.SSHServerConnection = process.get_extra_info("connection")
                connection.abort()
            case "hang":
                await process.channel.wait_closed()
            case "exit":
                await _reply(process, failed(fault.exit_status, "practice: this command was made to fail"))


async def _received(stdin: _ChannelInput) -> Sent:
    """What was sent for a command that lies in the network: nothing, from a sender who keeps its end open."""
    try:
        async with asyncio.timeout(0.2):
            return Sent(await stdin.read())
    except TimeoutError:
        return Sent()


async def _reply(process: _Process, answer: Answer) -> None:
    try:
        process.stdout.write(answer.out)
        process.stderr.write(answer.err)
        await process.stdout.drain()
        await process.stderr.drain()
        process.exit(answer.exit_status)
    except (OSError, asyncssh.Error):
        # The client is gone, and with it whoever would have read this.
        return
