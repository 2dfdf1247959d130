"""A mount namespace on a pretend host: one folder is seen in the place of another, by one script alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bot.practice.machine.files import Directory, Disk, parts
from bot.practice.machine.gnu import gnu_words
from bot.practice.machine.shell import Shell
from bot.practice.values import Answer, Call, Now, Stdin, Word, failed, run_word


class Namespaces:
    """`unshare --mount --propagation private sh -c SCRIPT …`, with `mount --bind` for the script.

    `refused` may be set: `unshare` as in a container without the right to it, `mount` as where a profile forbids that.
    """

    def __init__(self, disk: Disk, words: Callable[[Disk], Mapping[str, Word]], now: Now) -> None:
        """Of a host with this disk; `words`: its commands that read a disk, for the one that the script sees."""
        self.refused = ""
        self._disk = disk
        self._words = words
        self._now = now

    async def unshare(self, call: Call) -> Answer:
        """Run the script where its mounts are seen by nobody else."""
        if self.refused == "unshare":
            return failed(1, "unshare: unshare failed: Operation not permitted")
        match call.args:
            case ("--mount", "--propagation", "private", "sh", "-c", script, *arguments):
                inside = _Inside(self._disk, self._words, self._now, may_mount=self.refused != "mount")
                return await Shell(inside.disk, inside.run, {}).run(script, tuple(arguments), call.stdin)
            case _:
                return failed(1, "unshare: unrecognized option")


class _Inside:
    """What the script sees: the host's disk, but for what it mounts."""

    def __init__(self, disk: Disk, words: Callable[[Disk], Mapping[str, Word]], now: Now, *, may_mount: bool) -> None:
        self.disk = Disk(now)
        self.disk.root = Directory(entries=dict(disk.root.entries))
        self._may_mount = may_mount
        self._words = {**gnu_words(self.disk), "mount": self._mount, **words(self.disk)}

    async def run(self, words: tuple[str, ...], stdin: Stdin) -> Answer:
        return await run_word(self._words, words, stdin)

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
