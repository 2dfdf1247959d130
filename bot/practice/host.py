"""A pretend host: a real SSH server on 127.0.0.1 whose commands are answered in this process.

A command that has begun runs to its end, even when its connection is gone, as on a real host.
"""

import asyncio
import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import asyncssh

from bot.practice.files import Disk
from bot.practice.filewords import file_words
from bot.practice.shell import Shell
from bot.practice.values import Answer, Call, Fault, Faults, Ran, Stdin, Word, failed

_GREETING = shlex.split('exec 3<>"/dev/tcp/$0/$1" && head -n 1 <&3')
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


class Host:
    """One host: a disk, commands by name, and an SSH server."""

    def __init__(self, name: str, ip: str, disk: Disk, *, log: list[Ran], faults: Faults) -> None:
        """`ip` is what directors call it; nothing ever connects there."""
        self.name = name
        self.ip = ip
        self.disk = disk
        self.port = 0
        self.words: dict[str, Word] = {
            **file_words(disk),
            "true": lambda _call: Answer(),
            ":": lambda _call: Answer(),
            "false": lambda _call: Answer(exit_status=1),
            "echo": lambda call: Answer(out=f"{' '.join(call.args)}\n".encode()),
            "sh": self._sh,
            "bash": self._sh,
            "sudo": self._sudo,
            "env": self._env,
            "timeout": lambda call: self.run(call.args[1:], call.stdin),
        }
        self.greeting: Callable[[str, str], Answer] | None = None
        self._log = log
        self._faults = faults
        self._unreachable = False
        self._shell = Shell(disk, self.run)
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self._running: set[asyncio.Task[Answer]] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None

    # commands

    async def run(self, words: tuple[str, ...], stdin: Stdin) -> Answer:
        """One command of this host, by its name and arguments; 127 when it has no such command."""
        word = self.words.get(words[0]) if words else None
        if word is None:
            return failed(127, f"sh: {words[0] if words else ''}: not found")
        try:
            answer = word(Call(args=words[1:], stdin=stdin))
            return answer if isinstance(answer, Answer) else await answer
        except (IndexError, ValueError):
            # An option without its value, or a number that is none: the real command would refuse too.
            return failed(1, f"{words[0]}: invalid arguments: {shlex.join(words[1:])}")

    async def _sh(self, call: Call) -> Answer:
        match call.args:
            case ("-c", script, *arguments):
                return await self._script(script, tuple(arguments), call.stdin)
            case ("-ec" | "-euc", script, *arguments):
                return await self._script(f"set -e\n{script}", tuple(arguments), call.stdin)
            case _:
                return failed(2, "sh: only -c SCRIPT is understood here")

    async def _script(self, script: str, arguments: tuple[str, ...], stdin: Stdin) -> Answer:
        if self.greeting is not None and len(arguments) == 2 and _tokens(script) == _GREETING:
            return self.greeting(*arguments)
        return await self._shell.run(script, arguments, stdin)

    async def _sudo(self, call: Call) -> Answer:
        words = call.args
        if words[:1] != ("-n",):
            return failed(1, "sudo: a password is required")
        words = words[2:] if words[1:2] == ("--",) else words[1:]
        if words and words[0] not in self.words:
            return failed(1, f"sudo: {words[0]}: command not found")
        return await self.run(words, call.stdin)

    async def _env(self, call: Call) -> Answer:
        words = call.args
        while words and "=" in words[0]:
            words = words[1:]
        return await self.run(words, call.stdin)

    async def _recorded(self, command: str, stdin: Stdin) -> Answer:
        ran = Ran(at=datetime.now(UTC), host=self.name, command=command)
        self._log.append(ran)
        answer = await self._shell.run(command, stdin=stdin)
        ran.exit_status, ran.finished = answer.exit_status, datetime.now(UTC)
        return answer

    # SSH

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
        )
        self.port = self._acceptor.get_port()

    async def close(self) -> None:
        """Cut the connections, end what runs, stop listening."""
        self.drop_connections()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
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
        fault = self._faults.strike(self.name, command)
        if fault is not None and fault.when == "before":
            await self._break(process, fault)
            return
        stdin = _ChannelInput(process)
        task = asyncio.create_task(self._recorded(command, stdin))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
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


def _tokens(script: str) -> list[str]:
    try:
        return shlex.split(script)
    except ValueError:
        return []
