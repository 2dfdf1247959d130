"""A mount namespace on a pretend host: one folder is seen in the place of another, by one script alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.practice.machine.files import Directory, Disk, parts
from bot.practice.machine.gnu import gnu_programs
from bot.practice.machine.shell import Shell
from bot.practice.values import Answer, Call, Now, Program, Stdin, failed, run_program


class Namespaces:
    """`unshare --mount --propagation private sh -c SCRIPT …`, with `mount --bind` for the script.

    `refused` may be set: `unshare` as in a container without the right to it, `mount` as where a profile forbids that.
    """

    def __init__(self, disk: Disk, programs: Callable[[Disk], Mapping[str, Program]], now: Now) -> None:
        """Of a host with this disk; `words`: its commands that read a disk, for the one that the script sees."""
        self.refused = ""
        self._disk = disk
        self._programs = programs
        self._now = now

    async def unshare(self, call: Call) -> Answer:
        """Run the script where its mounts are seen by nobody else."""
        if self.refused == "unshare":
            return failed(1, "unshare: unshare failed: Operation not permitted")
        match call.args:
            case ("--mount", "--propagation", "private", "sh", "-c", script, *arguments):
                inside = _Inside(self._disk, self._programs, self._now, may_mount=self.refused != "mount")
                return await Shell(inside.disk, inside.run, {}).run(script, tuple(arguments), call.stdin)
            case _:
                return failed(1, "unshare: unrecognized option")


class _Inside:
    """What the script sees: the host's disk, but for what it mounts."""

    def __init__(
        self, disk: Disk, programs: Callable[[Disk], Mapping[str, Program]], now: Now, *, may_mount: bool
    ) -> None:
        self.disk = Disk(now)
        self.disk.root = Directory(entries=dict(disk.root.entries))
        self._may_mount = may_mount
        self._programs = {**gnu_programs(self.disk), "mount": self._mount, **programs(self.disk)}

    async def run(self, argv: tuple[str, ...], stdin: Stdin) -> Answer:
        return await run_program(self._programs, argv, stdin)

    def _mount(self, call: Call) -> Answer:
        match call.args:
            case ("--bind", source, target):
                pass
            case _:
                return failed(1, "mount: only --bind SOURCE TARGET is understood here")
        node = self.disk.look(source)
        if not self._may_mount:
            return failed(32, f"mount: {target}: permission denied.", _DMESG)
        if not isinstance(node, Directory) or not isinstance(self.disk.look(target), Directory):
            return failed(32, f"mount: {target}: mount point does not exist.", _DMESG)
        above = self.disk.root
        for name in parts(target)[:-1]:  # copied on the way down, as everybody else goes on seeing the old ones
            below = above.entries[name]
            assert isinstance(below, Directory)
            above.entries[name] = above = Directory(entries=dict(below.entries), mode=below.mode)
        above.entries[parts(target)[-1]] = node
        return Answer()


_DMESG = "       dmesg(1) may have more information after failed mount system call."
