"""The pretend commands on files and the small shell beside the real ones: the same script over the same tree.

The real ones run in a temporary directory, the pretend ones over a copy of it in memory. Any user may run this: owners
are read, and never given.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import subprocess
import tarfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bot.core.decisions.goback import going_back
from bot.core.plans.plan import Plan
from bot.core.readings.probes import PROBES
from bot.practice.machine.files import Directory, Disk, File, Link, Node, letter
from bot.practice.machine.machine import Machine
from bot.practice.values import HostLog, Sent, machine_time, succeeded
from tests import build
from tests.build import Story

_AT = 1_700_000_000
"""When every file of a tree was changed."""


@dataclass(frozen=True)
class Outcome:
    """What a script leaves behind: its answer, and the tree by path, with kind, mode, and content or target."""

    exit_status: int
    out: tuple[list[str], str]
    complains: list[str]
    tree: dict[str, tuple[str, int, bytes]]


class Both:
    """A real tree, and the same in memory under the same path."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._disk = Disk(machine_time)
        self._machine = Machine("backend-1", "192.0.2.11", self._disk, now=machine_time, log=HostLog())
        self._machine.programs["systemctl"] = lambda _call: succeeded("inactive\n")
        systemctl = root / "bin/systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text("#!/bin/sh\necho inactive\n")
        systemctl.chmod(0o755)
        _furnish(root)
        for path in (root, *sorted(root.rglob("*"))):
            self._copy(path)

    def _copy(self, path: Path) -> None:
        mode = path.lstat().st_mode & 0o7777
        node: Node
        if path.is_symlink():
            node = Link(target=str(path.readlink()))
        elif path.is_dir():
            node = Directory(mode=mode)
        else:
            node = File(data=path.read_bytes(), changed=datetime.fromtimestamp(_AT, UTC), mode=mode)
        node.owner, node.group = self._root.owner(), self._root.group()
        self._disk.make_directory(str(path.parent))
        self._disk.place(str(path), node)

    def _here(self, line: str) -> str:
        """The same line for the tree, wherever that stands."""
        return re.sub(r"/(?=(etc|var|nowhere)\b)", f"{self._root}/", line)

    async def agree(self, line: str, *, sent: bytes = b"") -> Outcome:
        """Run a line on both; AssertionError where they do not answer the same."""
        real, pretended = self._real(self._here(line), sent), await self._pretended(self._here(line), sent)
        assert pretended == real, line
        return real

    def _real(self, line: str, sent: bytes) -> Outcome:
        environment = {"PATH": f"{self._root}/bin:/usr/bin:/bin", "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        done = subprocess.run(
            ["sh", "-c", line], input=sent, capture_output=True, env=environment, umask=0o022, check=False, timeout=20
        )
        tree = {}
        for path in (self._root, *self._root.rglob("*")):
            data = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes() if path.is_file() else b""
            kind = "l" if path.is_symlink() else "f" if path.is_file() else "d"
            tree[str(path)] = (kind, path.lstat().st_mode & 0o7777, data)
        return Outcome(done.returncode, _shown(done.stdout), _complaints(done.stderr), tree)

    async def _pretended(self, line: str, sent: bytes) -> Outcome:
        answer = await self._machine.begin(line, Sent(sent))
        tree = {}
        for path, node in self._disk.tree(str(self._root)):
            data = node.target.encode() if isinstance(node, Link) else node.data if isinstance(node, File) else b""
            tree[path] = (letter(node), node.mode, data)
        return Outcome(answer.exit_status, _shown(answer.out), _complaints(answer.err), tree)


def _furnish(root: Path) -> None:
    """Files of several modes, links, a folder, what differs only in a byte, in its kind, in its last newline."""
    texts = {
        "etc/dovecot/dovecot.conf": "protocols = imap\nlisten = *\n",
        "etc/dovecot/conf.d/10-mail.conf": "mail_uid = vmail\n",
        "etc/dovecot/only-here.conf": "a\n",
        "etc/dovecot/bytes": "\0a",
        "etc/dovecot/kind": "a file\n",
        "etc/dovecot.other/dovecot.conf": "protocols = imap\nlisten = 127.0.0.1",
        "etc/dovecot.other/conf.d/10-mail.conf": "mail_uid = vmail\n",
        "etc/dovecot.other/only-there.conf": "b",
        "etc/dovecot.other/bytes": "\0b",
        "etc/dovecot.other/kind/below": "a folder\n",
        "var/lib/dovecot/metacache/metacache-users-1": "1",
        "var/lib/dovecot/metacache/metacache-users-2": "2",
        "var/lib/dovecot/metacache/instance.id": "stays",
        "var/dovecot/vmail/user-01/dovecot.index": "x",
        "var/dovecot/vmail/.tracking": "x",
        "var/cache/packages/one.deb": "a package",
        "var/cache/packages/two.deb": "",
        "var/cache/packages/partial/three.deb": "a part",
    }
    for name, text in texts.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o640 if "mail" in name else 0o644)
        os.utime(path, (_AT, _AT))
    (root / "etc/dovecot/private").mkdir(mode=0o700)
    for folder, target in (("dovecot", "only-here.conf"), ("dovecot.other", "only-there.conf")):
        (root / "etc" / folder / "link").symlink_to(target)
    (root / "etc/dovecot/link-to-nothing").symlink_to("/nowhere/at/all")
    for path in root.rglob("*"):
        if path.is_dir():
            path.chmod(0o700 if path.name == "private" else 0o755)
    root.chmod(0o755)


def _shown(out: bytes) -> tuple[list[str], str]:
    """Lines of find sorted, as real folders have no order; what follows an empty line as it is.

    A folder's and a link's time is that of the test's own run, and is left out.
    """
    first, _, rest = out.decode().partition("\n\n")
    return sorted(re.sub(r"^([dl]\t.*\t)\d+\.\d+\t", r"\1", line) for line in first.splitlines()), rest


def _complaints(err: bytes) -> list[str]:
    """Those of find and diff, which probes read, as they are; of others only who complains: their words differ by
    version.
    """
    lines = err.decode().splitlines()
    return sorted({line if line.startswith(("find: ", "diff: ")) else line.partition(": ")[0] for line in lines})


@pytest.fixture
def both(tmp_path: Path) -> Both:
    return Both(tmp_path)


def archive(*names: str) -> bytes:
    """Such files and folders in a tar."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as made:
        for name in names:
            member = tarfile.TarInfo(name.rstrip("/"))
            member.mtime, member.uid, member.gid = _AT, os.getuid(), os.getgid()
            if name.endswith("/"):
                member.type, member.mode = tarfile.DIRTYPE, 0o750
                made.addfile(member)
            elif "->" in name:
                member.name, _, member.linkname = name.partition("->")
                member.type = tarfile.SYMTYPE
                made.addfile(member)
            else:
                member.size, member.mode = len(name), 0o640
                made.addfile(member, io.BytesIO(name.encode()))
    return packed.getvalue()


LOOKS = [
    *(
        (probe, {"path": path})
        for probe in ("tree", "owned-tree", "files")
        for path in ("/etc/dovecot", "/etc/dovecot.other", "/var/lib/dovecot/metacache", "/nowhere")
    ),
    ("files", {"path": "/var/lib/dovecot/metacache", "named": "metacache-users*"}),
    ("files", {"path": "/nowhere", "named": "metacache-users*"}),
    ("ownership", {"path": "/etc/dovecot", "like": "/etc/dovecot.other"}),
    ("ownership", {"path": "/nowhere", "like": "/etc/dovecot"}),
    ("downloaded-packages", {"names": "one=1", "folder": "/var/cache/packages"}),
    ("downloaded-packages", {"names": "one=1", "folder": "/nowhere"}),
    ("config-difference", {"path": "/etc/dovecot", "to": "/etc/dovecot.other"}),
    ("config-difference", {"path": "/etc/dovecot", "to": "/etc/dovecot"}),
    ("config-difference", {"path": "/nowhere", "to": "/etc/dovecot"}),
]


@pytest.mark.parametrize(("probe", "asks"), LOOKS, ids=str)
async def test_a_probe_that_reads_files_is_answered_the_same(both: Both, probe: str, asks: dict[str, str]) -> None:
    question = PROBES[probe].command(build.target(), asks)
    await both.agree(shlex.join(question.argv))


def on_files(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The changes of files alone, by step."""
    return {
        step.name: step.action.command.argv
        for step in plan.changes
        if re.search(r"\b(tar|mv|rm|find)\b", " ".join(step.action.command.argv))
    }


async def test_every_change_of_files_that_the_procedure_makes_does_the_same_and_so_does_its_way_back(
    both: Both,
) -> None:
    """From the staged configuration to the deletions, each of them a second time as well; then back."""
    plan = build.plan()
    back = going_back(Story(plan).until("approve-restore").run)
    assert back is not None
    changes = on_files(plan)
    assert changes.keys() >= {"stage-config", "remove-old-metacache-database", "clean-metacache"}
    packed = archive("dovecot.conf", "conf.d/", "conf.d/10-mail.conf", "link->dovecot.conf")
    for argv in changes.values():
        assert (await both.agree(shlex.join(argv), sent=packed)).exit_status == 0
        await both.agree(shlex.join(argv), sent=packed)
    for argv in on_files(back).values():
        assert (await both.agree(shlex.join(argv))).exit_status == 0
        await both.agree(shlex.join(argv))


@pytest.mark.parametrize(
    "line",
    [
        *("cat /etc/dovecot/kind /nowhere /etc/dovecot/dovecot.conf", "rm /etc/dovecot/kind /nowhere"),
        *("rm -f /nowhere", "rm /etc/dovecot/link", "rm -f /etc/dovecot", "cp /etc/dovecot/kind /etc/dovecot/kind-2"),
        *("mkdir -p -m 0700 /etc/a/b", "mkdir -p -m 0700 /etc/dovecot", "mkdir -p /etc/dovecot/kind"),
        *("mkdir -p /etc/dovecot/kind/below", "mkdir -p /etc/dovecot/link-to-nothing/below"),
        *("mv -T /nowhere /etc/a", "mv -T /etc/dovecot /nowhere/a", "mv -T /etc/dovecot /etc/dovecot.other"),
        *("mv -T /etc/dovecot /etc/dovecot/a", "mv -T /etc/dovecot /etc/dovecot.other/bytes"),
        *("mv -T /etc/dovecot/kind /etc/dovecot.other", "mv -T /etc/dovecot/kind /etc/dovecot.other/bytes"),
        *("mv -T /etc/dovecot.other /etc/dovecot/private", "mv -T /etc/dovecot/link /etc/dovecot/elsewhere"),
        *("test -d /etc/dovecot/kind", "test -e /etc/dovecot/link-to-nothing", "test -e /etc/dovecot/link"),
        *("find /var/dovecot/vmail /nowhere -xdev -mindepth 1 -delete", "find /var -maxdepth 2 -printf '%y %P %f\\n'"),
    ],
)  # fmt: skip
async def test_what_else_may_come_is_answered_the_same(both: Both, line: str) -> None:
    """What is not there, what is there already, what is of another kind."""
    await both.agree(line)


@pytest.mark.parametrize("options", ["--same-owner --same-permissions", "--no-same-owner"])
@pytest.mark.parametrize("into", ["/etc/dovecot.other", "/nowhere"])
@pytest.mark.parametrize(
    "sent", [archive("a/b/c", "conf.d/"), archive("a", "../b"), archive("a")[:700], b"no tar", b""]
)
async def test_an_archive_is_unpacked_the_same_whole_or_in_part(
    both: Both, options: str, into: str, sent: bytes
) -> None:
    await both.agree(f"tar --extract --directory={into} {options} --file=-", sent=sent)


@pytest.mark.parametrize(
    "script",
    [
        "echo a; echo b",
        "false && echo a || echo b",
        'false; true && { echo "$?"; exit; }',
        '{ echo a; false; } || echo "$?"',
        "{ echo a; cat /nowhere; } 2>&1 >/dev/null",
        "x=$(echo 'a  b'); echo \"$x\" $x",
        "echo a > /dev/null; echo b 2>/dev/null",
        "nosuch 2>/dev/null; echo $?",
        "echo a'b  c'\"d $? \\$x\"\\ e$nosuch",
        "echo /etc/dovecot/*.conf '/etc/*' /etc/*/no*",
        "test -d /etc/dovecot && exit 7; echo never",
        "x=$(false); echo $?; y=1; echo $?",
        'test "$(echo a)" = a && echo "yes: $(echo "b  c")"',
        "\n\necho a\necho b\n",
        "nosuch || true",
        "exec echo a; echo never",
        "[ 1 -lt 2 ] || exit 95; exec true",
        'x="$(exit 3)" || exit "$?"',
        "echo \"$x\" ''; echo $x '' b",
        "LC_ALL=C test -e /etc/dovecot && echo 'it'\\''s' || exit 1",
        "echo 2>&1 a;",
    ],
)
async def test_the_small_shell_does_what_sh_does(both: Both, script: str) -> None:
    """Scripts of the kinds that the procedure, the probes and the fence have."""
    await both.agree(script)
