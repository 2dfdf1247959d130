"""What the tests on the practice ring share: which commands only look, what thread and journal say, the program."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from bot import offline
from bot.config import read_settings
from bot.core.hosts.fence import CLOCK, lock_question
from bot.core.hosts.identity import QUESTION
from bot.core.readings import starts
from bot.core.readings.difference import SCRIPT
from bot.core.readings.packages import FREE, LISTS_AGE
from bot.core.readings.sessions import COUNTED
from bot.core.readings.trees import MOUNTED
from bot.core.runs.events import Entry, WaitBegan
from bot.practice.machine.files import File, Link
from bot.practice.ring.fixtures import VMAIL
from bot.practice.ring.packages import NEW, OLD
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import CHANNEL, Scene, at_work
from bot.practice.site import CONFIG, PACKAGES, practice_site, reviewed_config
from bot.practice.slack.workspace import Ephemeral, Message
from bot.practice.values import Ran
from tests.forked import forked
from tests.lab.ring import BACKENDS
from tests.patience import SECONDS
from tests.unit.messages import places

K = TypeVar("K")
CHECKOUT = Path(__file__).parents[2]
IP = "192.0.2.13"
BOTH = f"backend-3 config={CONFIG} packages={PACKAGES}"

_LOOKS = re.compile(
    r"(dovecot --version|doveadm -f tab (director (ring )?status|who)|doveadm -f json service status lmtp"
    r"|doveadm mailbox (list|status) [^;&|]*|doveadm fetch [^;&|]*|systemctl show [^;&|]*"
    r"|timeout 5 bash -c 'exec 3<>\"/dev/tcp/\$0/\$1\" && head -n 1 <&3' [0-9.]+ [0-9]+"
    r"|find (?!.*-delete)[^;&|]*|apt-cache (madison|policy) [^;&|]*|apt-get (--simulate [^;&|]*|check)"
    r"|dpkg-query --show [^;&|]*|doveconf -n[^;&|]*)"
)
STARTING = re.compile(rf"sh -c {re.escape(shlex.quote(starts.SCRIPT))} \S+ {re.escape(shlex.quote(starts.BOUND))}")
COMPARING = f"sh -c {shlex.quote(SCRIPT)} /etc/dovecot "
OF_PACKAGES = {shlex.join(("sh", "-c", LISTS_AGE)), *(shlex.join((*FREE, path)) for path in ("/var", "/usr", "/boot"))}
QUESTIONS = {QUESTION.text, CLOCK.text, *(lock_question(f"backend-{number}").text for number in (1, 2, 3))}
IPS = [*(f"192.0.2.1{number}" for number in (1, 2, 3)), *(backend.ip for backend in BACKENDS)]
QUESTIONS |= {shlex.join(("sh", "-c", COUNTED, ip)) for ip in IPS} | {shlex.join(("sh", "-c", starts.IN_PLACE))}
QUESTIONS |= {shlex.join(("sh", "-c", MOUNTED, VMAIL))}
"""The commands that alter nothing; every other one counts as a change."""


def bare(command: str) -> str:
    """A command without the `sudo -n` that the hosts of this ring want."""
    return command.removeprefix("sudo -n -- ")


def only_looks(command: str) -> bool:
    """Whether a command alters nothing."""
    if bare(command).startswith(COMPARING):
        return re.fullmatch(r"/etc/dovecot[.0-9a-z]*", bare(command).removeprefix(COMPARING)) is not None
    if STARTING.fullmatch(bare(command)):
        return True
    return bare(command) in QUESTIONS | OF_PACKAGES or _LOOKS.fullmatch(bare(command)) is not None


def changes(ring: PracticeRing, since: int = 0) -> list[Ran]:
    """The commands that altered hosts, or might have, in the order in which they began; `since` so many in the log."""
    return [ran for ran in ring.log[since:] if not only_looks(ran.command)]


def changed(ring: PracticeRing, run: str = "", since: int = 0) -> list[tuple[str, str]]:
    """The same as host and command, with the run's id written as RUN."""
    return [(ran.host, bare(ran.command).replace(run or "RUN", "RUN")) for ran in changes(ring, since)]


# what is expected to run, in order

GUARD = 'test "$(systemctl show --property=ActiveState --value dovecot)" = inactive || exit 97; '
FOLDER = "/var/cache/dovecot-bot/RUN"
_INTO = f"mkdir -p {FOLDER}/partial && "
_DOWNLOAD = (
    "env DEBIAN_FRONTEND=noninteractive apt-get --yes --download-only --allow-downgrades --no-remove --reinstall"
    f" -o Dir::Cache::archives={FOLDER} -o DPkg::Lock::Timeout=120 install "
)
_INSTALL = (
    "exec env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get --yes --allow-downgrades --no-remove"
    f" -o Dir::Cache::archives={FOLDER} -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold install "
)
STAGED, BEFORE = "/etc/dovecot.RUN.proposed", "/etc/dovecot.RUN.before"

PUT_ASIDE = (
    f"sh -c 'mkdir -p -m 0700 {STAGED} && tar --extract --directory={STAGED} --same-owner --same-permissions --file=-'"
)
STAGE_CONFIG = [("backend-3", PUT_ASIDE)]
DRAIN = [("director-1", f"doveadm director update {IP} 0")]
TAKE_DOWN = [
    ("backend-3", "doveadm service stop lmtp"),
    ("backend-3", "systemctl stop dovecot"),
    ("director-1", f"doveadm director down {IP}"),
    ("director-1", f"doveadm director flush {IP}"),
    ("backend-3", "systemctl mask --runtime dovecot"),
]
MOVE_FIRST = [TAKE_DOWN[3], *TAKE_DOWN[:3], TAKE_DOWN[4]]
"""The users are moved while the backend still serves; what the take-down has for that is found done."""
SPECS = PACKAGES.replace(",", " ")
BEFORE_SPECS = SPECS.replace(NEW, OLD)
DOWNLOAD = [
    ("backend-3", f"sh -c '{_INTO}exec {_DOWNLOAD}{SPECS}'"),
    ("backend-3", f"sh -c '{_INTO}{_DOWNLOAD}{BEFORE_SPECS} || true'"),
]
INSTALL_PACKAGES = [("backend-3", f"sh -c '{_INTO}{_INSTALL}{SPECS}'")]
GO_BACK_PACKAGES = [("backend-3", f"sh -c '{_INTO}{_INSTALL}{BEFORE_SPECS}'")]
PUT_IN_PLACE = (
    f"sh -c 'test -d {STAGED} || exit 96; test -e {BEFORE} || mv -T /etc/dovecot {BEFORE}; mv -T {STAGED} /etc/dovecot'"
)
INSTALL_CONFIG = [("backend-3", PUT_IN_PLACE)]
CLEAN_METACACHE = [
    ("backend-3", f"sh -c '{GUARD}rm -f /var/lib/dovecot/metacache/metacache-users*'"),
    ("backend-3", f"sh -c '{GUARD}find /var/dovecot/vmail -xdev -mindepth 1 -delete'"),
]
START = [("backend-3", "systemctl unmask --runtime dovecot"), ("backend-3", "systemctl start dovecot")]
RESTORE = [("director-1", f"doveadm director update {IP} 100"), ("director-1", f"doveadm director up {IP}")]

WHOLE = [
    *DOWNLOAD,
    *STAGE_CONFIG,
    *DRAIN,
    *TAKE_DOWN,
    *INSTALL_PACKAGES,
    *INSTALL_CONFIG,
    *CLEAN_METACACHE,
    *START,
    *RESTORE,
]
"""Everything that a run with a configuration and packages does on a site with metacache."""


# the ring, Slack and the bot


@asynccontextmanager
async def staged(
    *,
    drain: float = 1,
    metacache: bool = True,
    start: bool = True,
    users: int = 60,
    settings: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[PracticeRing, Scene]]:
    """A ring whose users come and go quickly, with a proposed configuration and the bot; it ends with the block."""
    # A director is patient here: how fast a take-down is, is measured elsewhere, not on whatever machine runs this.
    ring = PracticeRing(
        users=users, user_expire=timedelta(seconds=1), metacache=metacache, login_patience=timedelta(seconds=8)
    )
    async with ring:
        site = practice_site(ring, metacache=metacache)
        async with Scene(site, drain=timedelta(seconds=drain), settings=settings, launch=forked) as scene:
            scene.propose(CONFIG, reviewed_config(ring))
            if start:
                await scene.start_bot()
            yield ring, scene


OPENS = {
    "flush": "take backend-3 down",
    "restore": "give backend-3 its users back",
    "go back on": "go back on backend-3",
}
"""What each gate opens, as its question says it."""


async def at_gate(scene: Scene, gate: str) -> Message:
    """Wait until that approval is asked for; returns the message with the buttons."""
    question = f"Approval needed: {OPENS[gate]}"
    asked = await scene.slack.until(lambda: [one for one in scene.open_buttons("approve") if question in one.text])
    return asked[-1]


async def whole(scene: Scene, question: Message) -> str:
    """All that a question says, its file with every command and all evidence included."""
    of = (question.metadata or {})["event_payload"]
    name = f"{of['run']}-{of['seq']}-approval.txt"
    file = await scene.slack.until(lambda: next((one for one in scene.slack.files if one.name == name), None))
    return f"{wording(question)}\n{file.text}"


async def drains(scene: Scene) -> None:
    """Wait until the drain has begun, as the journal has it."""
    async with asyncio.timeout(SECONDS):
        while not await facts_of(scene, WaitBegan):
            await asyncio.sleep(0.1)


async def ended(scene: Scene) -> str:
    """Wait until the run is over; returns its outcome."""
    return str(await scene.slack.until(lambda: scene.outcome))


def wording(message: Message | Ephemeral) -> str:
    """All that a message says, in its text and its blocks."""
    texts = [part["text"] for block in message.blocks for part in _texts(block)]
    return "\n".join([message.text, *texts])


def _texts(block: Mapping[str, Any]) -> list[dict[str, str]]:
    parts = [block.get("text"), *(block.get("fields") or []), *(block.get("elements") or [])]
    return [part for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)]


async def answer(
    scene: Scene, user: str, text: str, *, channel: str = CHANNEL, command: str = "/dovecot-upgrade"
) -> str:
    """Type a slash command; returns what that person alone is told."""
    before = len(scene.slack.ephemerals)
    await scene.slack.command(user, channel, command, text)
    return await told_alone(scene, user, since=before)


async def clicked(scene: Scene, user: str, message: Message, action: str, *, stale: bool = False) -> str:
    """Click a button; returns what that person alone is told."""
    before = len(scene.slack.ephemerals)
    await scene.slack.click(user, message, action, stale=stale)
    return await told_alone(scene, user, since=before)


async def told_alone(scene: Scene, user: str, *, since: int) -> str:
    """Wait for a message that this person alone sees, after so many."""
    found = await scene.slack.until(
        lambda: [one for one in scene.slack.ephemerals[since:] if one.user == user and not at_work(one)]
    )
    return wording(found[-1])


async def facts(scene: Scene, run: str = "") -> Sequence[Entry]:
    """The journal of a run, by default the newest."""
    entries, damage = await offline.readable(read_settings(scene.settings), run or scene.run)
    assert not damage
    return entries


async def facts_of(scene: Scene, kind: type[K]) -> list[K]:
    """The facts of one kind of the newest run."""
    return [entry.fact for entry in await facts(scene) if isinstance(entry.fact, kind)]


async def assert_thread_is_whole(scene: Scene) -> None:
    """The thread has the replies that its facts make, in order, once: no gap, no repeat."""
    told = [one.metadata["event_payload"] for one in scene.thread if one.metadata]
    assert [(one["seq"], one["part"]) for one in told] == places(await facts(scene))
    files = [file.name for file in scene.slack.files]
    assert len(set(files)) == len(files)


def tree(ring: PracticeRing, path: str = "/etc/dovecot") -> dict[str, object]:
    """What lies below a path on backend-3: the content and mode of files, the targets of links."""
    found = ring.backends["backend-3"].disk.tree(path)
    return {
        name: (node.data, node.mode) if isinstance(node, File) else node.target
        for name, node in found
        if isinstance(node, File | Link)
    }


def usual(ring: PracticeRing) -> bool:
    """Whether every director has every backend up with vhosts 100."""
    views = ring.state.directors.values()
    return all(seen.up and seen.vhosts == 100 for view in views for seen in view.backends.values())


# the command line


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command left behind."""

    status: int
    out: str
    err: str


async def cli(*arguments: str, env: Mapping[str, str] | None = None) -> Said:
    """The program with these arguments to its end; `env` takes the place of all SLACK_ variables."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("SLACK_")}
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = await forked(arguments, {**clean, **(env or {})}, out, err)
        try:
            status = await asyncio.wait_for(process.wait(), SECONDS)
        except TimeoutError:
            process.kill()
            await process.wait()
            raise
        said, wrong = await asyncio.gather(*(asyncio.to_thread(path.read_text) for path in (out, err)))
        return Said(status=status, out=said, err=wrong)
