"""A pretend machine: a disk, a clock, an identity, and commands by name that are answered in this process.

A command that has begun runs to its end, whoever listens. It knows nothing of SSH: host.py puts a server before it.
"""

import asyncio
import hashlib
import json
import re
import shlex
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import lru_cache

from bot.practice.machine.files import Disk
from bot.practice.machine.gnu import gnu_programs
from bot.practice.machine.shell import Shell
from bot.practice.values import Answer, Call, HostLog, Now, Program, Ran, Stdin, failed, run_program, succeeded

HOME = "/home/practice"
_MACHINE_ID, _BOOT_ID = "/etc/machine-id", "/proc/sys/kernel/random/boot_id"
_GREETING = tuple(shlex.split('exec 3<>"/dev/tcp/$0/$1" && head -n 1 <&3'))
_FENCE = re.compile(r'\[ "\$\(date \+%s\)" -lt (\d+) \] \|\| exit \d+; exec (.*)', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Fenced:
    """A line that was sent in a fence: what stands in it, until when it may begin, behind which lock."""

    line: str
    not_after: int
    lock: str | None


def read_fenced(line: str) -> Fenced | None:
    """The fence around a line, None when there is none."""
    if "date +%s" not in line:
        return None  # most lines: they need not be split for that
    lock: str | None = None
    match tokens(line):
        case ["flock", "-n", "-E", _, file, "sh", "-c", script]:
            lock = file
        case ["sh", "-c", script]:
            pass
        case _:
            return None
    found = _FENCE.fullmatch(script)
    return Fenced(line=found[2], not_after=int(found[1]), lock=lock) if found is not None else None


@lru_cache(maxsize=512)
def tokens(script: str) -> tuple[str, ...]:
    """The words of a line, none when its quotes are not closed. The same few are read again and again."""
    try:
        return tuple(shlex.split(script))
    except ValueError:
        return ()


class Machine:
    """One machine. `addresses` are what its interfaces hold, `clock_off` is how far its own clock is ahead."""

    def __init__(self, name: str, ip: str, disk: Disk, *, now: Now, log: HostLog) -> None:
        """`ip` is what directors call it; nothing ever connects there."""
        self.name = name
        self.ip = ip
        self.disk = disk
        self.addresses = ["127.0.0.1", ip]
        self.environment = {"HOME": HOME, "PATH": "/usr/bin:/bin", "SSH_CONNECTION": "127.0.0.1 50022 127.0.0.1 22"}
        self.clock_off = timedelta(0)
        self.programs: dict[str, Program] = {**gnu_programs(disk), **self._own_programs()}
        self.greeting: Callable[[str, str], Answer] | None = None
        self.now = now
        self.log = log
        self._shell = Shell(disk, self.run, self.environment, self._begins)
        self._running: set[asyncio.Task[Answer]] = set()
        self._at_fence: dict[asyncio.Task[Answer] | None, Ran] = {}
        self._locks: dict[str, object] = {}
        self._boots = 0
        disk.make_directory(HOME)
        disk.make_directory("/run/lock", mode=0o777)
        self.machine_id = hashlib.sha256(name.encode()).hexdigest()[:32]
        self._boot()

    def _own_programs(self) -> dict[str, Program]:
        return {
            "true": lambda _call: Answer(),
            "false": lambda _call: Answer(exit_status=1),
            "echo": lambda call: succeeded(f"{' '.join(call.args)}\n"),
            "date": self._date,
            "env": self._env,
            "flock": self._flock,
            "ip": self._ip,
            "bash": self._sh,
            "sh": self._sh,
            "sudo": self._sudo,
            "timeout": lambda call: self.run(call.args[1:], call.stdin),
        }

    # who it is

    @property
    def machine_id(self) -> str:
        """What its /etc/machine-id says; a test may set it, as of machines that were cloned."""
        return (self.disk.read(_MACHINE_ID) or b"").decode().strip()

    @machine_id.setter
    def machine_id(self, value: str) -> None:
        self.disk.write(_MACHINE_ID, f"{value}\n", mode=0o444)

    @property
    def boot_id(self) -> str:
        """Another one after each boot."""
        return (self.disk.read(_BOOT_ID) or b"").decode().strip()

    def _boot(self) -> None:
        self._boots += 1
        self.disk.write(_BOOT_ID, f"{uuid.uuid5(uuid.NAMESPACE_DNS, f'{self.name}.{self._boots}')}\n", mode=0o444)

    def reboot(self) -> None:
        """A hard reset: what runs ends where it is, its locks are free, and the machine is up again at once."""
        for task in list(self._running):
            task.cancel()
        self._locks.clear()
        self._boot()

    # commands

    def begin(self, line: str, stdin: Stdin, *, after: timedelta = timedelta(0)) -> "asyncio.Task[Answer]":
        """Run a line as a login's shell does, `after` a while; it goes on whoever listens, unless a reboot ends it."""
        task = asyncio.create_task(self._recorded(line, stdin, after))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def end_all(self) -> None:
        """End what runs."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _recorded(self, line: str, stdin: Stdin, after: timedelta) -> Answer:
        if after:
            await asyncio.sleep(after.total_seconds())
        ran = self._to_be_recorded(line)
        task = asyncio.current_task()
        if ran.not_after is None:
            self.log.ran.append(ran)
        else:
            self._at_fence[task] = ran
        try:
            answer = await self._shell.run(line, stdin=stdin)
            ran.exit_status = answer.exit_status
            return answer
        finally:
            ran.finished = self.now()
            if self._at_fence.pop(task, None) is not None:
                self.log.refused.append(ran)

    def _to_be_recorded(self, line: str) -> Ran:
        fence = read_fenced(line)
        if fence is None:
            return Ran(at=self.now(), host=self.name, command=line)
        return Ran(at=self.now(), host=self.name, command=fence.line, not_after=fence.not_after, lock=fence.lock)

    def _begins(self) -> None:
        """The shell is at an `exec`: where it is that of a fence, the command in it begins now."""
        if (ran := self._at_fence.pop(asyncio.current_task(), None)) is not None:
            ran.at = self.now()
            self.log.ran.append(ran)

    async def run(self, argv: tuple[str, ...], stdin: Stdin) -> Answer:
        """One command of this host, by its name and arguments; 127 when it has no such command."""
        return await run_program(self.programs, argv, stdin)

    async def _sh(self, call: Call) -> Answer:
        match call.args:
            case ("-c", script, *arguments):
                return await self._script(script, tuple(arguments), call.stdin)
            case _:
                return failed(2, "sh: only -c SCRIPT is understood here")

    async def _script(self, script: str, arguments: tuple[str, ...], stdin: Stdin) -> Answer:
        if self.greeting is not None and len(arguments) == 2 and tokens(script) == _GREETING:
            return self.greeting(*arguments)
        return await self._shell.run(script, arguments, stdin)

    async def _sudo(self, call: Call) -> Answer:
        argv = call.args
        if argv[:1] != ("-n",):
            return failed(1, "sudo: a password is required")
        argv = argv[2:] if argv[1:2] == ("--",) else argv[1:]
        if argv and argv[0] not in self.programs:
            return failed(1, f"sudo: {argv[0]}: command not found")
        return await self.run(argv, call.stdin)

    async def _env(self, call: Call) -> Answer:
        argv = call.args
        while argv and "=" in argv[0]:
            argv = argv[1:]
        return await self.run(argv, call.stdin)

    def _date(self, call: Call) -> Answer:
        if call.args != ("+%s",):
            return failed(1, f"date: invalid date '{' '.join(call.args)}'")
        return succeeded(f"{int((self.now() + self.clock_off).timestamp())}\n")

    def _ip(self, call: Call) -> Answer:
        if call.args != ("-json", "address"):
            return failed(255, "Usage: ip [ OPTIONS ] OBJECT { COMMAND | help }")
        held = [
            {"family": "inet6" if ":" in address else "inet", "local": address, "prefixlen": 24}
            for address in self.addresses
        ]
        return succeeded(json.dumps([{"ifname": "eth0", "addr_info": held}], separators=(",", ":")))

    async def _flock(self, call: Call) -> Answer:
        match call.args:
            case ("-n", "-E", status, path, *command) if command:
                held = int(status)
            case _:
                return failed(64, "flock: only -n -E NUMBER FILE COMMAND is understood here")
        if self.disk.look(path) is None:
            if self.disk.parent(path) is None:
                return failed(66, f"flock: cannot open lock file {path}: No such file or directory")
            self.disk.write(path, "", mode=0o600)
        if path in self._locks:
            return Answer(exit_status=held)
        holder = self._locks[path] = object()
        try:
            return await self.run(tuple(command), call.stdin)
        finally:
            with suppress(KeyError):
                if self._locks[path] is holder:  # after a reboot it may be another command's
                    del self._locks[path]
