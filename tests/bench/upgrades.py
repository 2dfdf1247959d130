"""A busy real ring, and the ways of upgrading its backend-3: the bot, a playbook, a shell script, the bare commands.

Each notes when its steps were seen to be done, and what users felt of it; what is made of that, it does not know.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import asyncssh

from bot.core.runs import events as fact
from bot.practice.scene import SECOND, Scene
from tests.acceptance.practice import facts, only_looks
from tests.acceptance.realring import all_rules, mapped, put_back, site_of, told
from tests.bench.row import NotMeasured
from tests.lab import Lab, Ran, missing, wait_for
from tests.lab.deliveries import Deliveries
from tests.lab.files import EVERYTHING
from tests.lab.ring import EXPIRE_SOON
from tests.lab.users import MailUsers, Newcomers

PEERS = Path(__file__).parent / "peers"
ANSIBLE = Path(__file__).parents[2] / ".venv-bench" / "bin" / "ansible-playbook"
DRAIN = timedelta(seconds=1)
"""The shortest that settings allow; no other way of upgrading has one, so it is taken out."""
WITHIN = timedelta(minutes=5)
AT_WORK = 20
"""Users, where it is not they who are measured."""
SETTLED = 3.0
"""Seconds until nobody is moved any more who was moved home."""


@dataclass(frozen=True, kw_only=True)
class Upgrade:
    """When it began and ended, and when what was first sent or seen: `vhosts 0`, `take-down`, `users 0`, `users`."""

    began: datetime
    ended: datetime
    seen: Mapping[str, datetime]
    clicked: datetime | None = None

    @property
    def seconds(self) -> float:
        return (self.ended - self.began).total_seconds()

    def between(self, first: str, then: str) -> float:
        """Seconds."""
        return (self.seen[then] - self.seen[first]).total_seconds()


# the bot


@asynccontextmanager
async def bot_at_work(lab: Lab, *, take_down: str = "") -> AsyncIterator[Scene]:
    """A bot as it is installed, watching the ring as closely as settings say by default, that has just started."""
    async with Scene(site_of(lab, lab.directory, take_down=take_down), drain=DRAIN) as scene:
        await scene.start_bot()
        try:
            yield scene
        except BaseException:
            print(told(scene) if scene.begun else scene.log, file=sys.stderr)
            raise


async def by_bot(lab: Lab, text: str, *, take_down: str = "") -> Upgrade:
    """From the slash command to the last reply; each approval is clicked as soon as it can be."""
    async with bot_at_work(lab, take_down=take_down) as scene, asyncio.timeout(WITHIN.total_seconds()):
        clicks: list[datetime] = []
        began = datetime.now(UTC)
        await scene.ask(text)
        for _ in ("flush", "restore"):
            question = await scene.question("approve")
            clicks.append(datetime.now(UTC))
            await scene.slack.click(SECOND, question, "approve")
        outcome = await scene.slack.until(lambda: scene.outcome)
        ended = datetime.now(UTC)
        if outcome != "done":
            raise RuntimeError(f"the run has ended: {outcome}")
        entries = await facts(scene)
    done = {entry.fact.step: entry.at for entry in entries if isinstance(entry.fact, fact.StepDone)}
    started = {entry.fact.step: entry.at for entry in entries if isinstance(entry.fact, fact.StepStarted)}
    seen = {
        "vhosts 0": done["set-vhosts-to-zero"],
        "take-down": started["stop-lmtp"],
        "users 0": done["flush-users"],
        "users": done["users-come-back"],
    }
    return Upgrade(began=began, ended=ended, seen=seen, clicked=clicks[0])


# the playbook


async def by_playbook(lab: Lab, *, packages: str = "", before: str = "") -> Upgrade:
    """The packages as `NAME=VERSION NAME=VERSION`; without them it is a restart."""
    values = {"ip": lab.backends["backend-3"].ip, "test_user": lab.test_user, "packages": packages, "before": before}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = _playing(lab, Path(folder, "hosts"), values)
        began = datetime.now(UTC)
        said = await _headings(command, {"ANSIBLE_HOME": folder, "ANSIBLE_SSH_CONTROL_PATH_DIR": folder})
        ended = datetime.now(UTC)
        await asyncio.to_thread(_close, Path(folder))
    return Upgrade(began=began, ended=ended, seen=_tasks(said))


def _playing(lab: Lab, inventory: Path, values: Mapping[str, str]) -> list[str]:
    if not ANSIBLE.exists():
        raise NotMeasured("there is no Ansible: deploy/environment tests/bench/requirements.lock .venv-bench")
    inventory.write_text("\n".join(["[directors]", *lab.directors, "[backend]", "backend-3", ""]))
    given = [option for name, value in values.items() for option in ("--extra-vars", f"{name}='{value}'")]
    skipped = [] if values["packages"] else ["--skip-tags", "packages"]
    ssh = ["--ssh-common-args", f"-F {lab.directory / 'ssh_config'}"]
    return [str(ANSIBLE), str(PEERS / "upgrade.yaml"), "--inventory", str(inventory), *given, *ssh, *skipped]


async def _headings(command: list[str], environment: Mapping[str, str]) -> list[tuple[str, datetime]]:
    """What the playbook calls what it does next, and when it says so."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, **environment, "ANSIBLE_CONFIG": str(PEERS / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        limit=2**24,
    )
    assert process.stdout is not None
    lines: list[tuple[str, datetime]] = []
    async with asyncio.timeout(WITHIN.total_seconds()):
        async for line in process.stdout:
            lines.append((line.decode(errors="replace").rstrip(), datetime.now(UTC)))
        status = await process.wait()
    if status:
        raise RuntimeError("the playbook failed:\n" + "\n".join(text for text, _ in lines[-30:]))
    return [(text.split("[")[-1].split("]")[0], at) for text, at in lines if text.startswith(("TASK", "PLAY"))]


def _tasks(said: list[tuple[str, datetime]]) -> dict[str, datetime]:
    """A task has ended when the next one is named."""
    began = dict(said)
    after = {name: then for (name, _), (_, then) in pairwise(said)}
    return {
        "vhosts 0": after["Vhosts are 0"],
        "take-down": began["Stop LMTP"],
        "users 0": after["Users are 0"],
        "users": said[-1][1],
    }


def _close(shared: Path) -> None:
    """End the connections that the playbook leaves open, for a minute, to the next one."""
    for socket in (path for path in shared.iterdir() if path.is_socket()):
        subprocess.run(
            ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "shared"], check=False, stderr=subprocess.DEVNULL
        )


# the shell script


async def by_shell(lab: Lab) -> Upgrade:
    command = (PEERS / "upgrade.sh", lab.directory / "ssh_config", "director-1", "backend-3")
    began = datetime.now(UTC)
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        lab.backends["backend-3"].ip,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(WITHIN.total_seconds()):
        _, complaint = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the shell script failed: {complaint.decode(errors='replace')}")
    return Upgrade(began=began, ended=datetime.now(UTC), seen={})


# the bare commands


async def take_down_bare(lab: Lab) -> Upgrade:
    """The take-down alone, over connections that are there already; the backend stays down."""
    ip = lab.backends["backend-3"].ip
    config, known = lab.directory / "ssh_config", lab.directory / "known_hosts"
    async with AsyncExitStack() as stack:
        hosts = {
            name: await stack.enter_async_context(asyncssh.connect(name, config=[str(config)], known_hosts=str(known)))
            for name in (*lab.directors, "backend-3")
        }
        await hosts["director-1"].run(f"sudo -n doveadm director update {ip} 0", check=True)
        began = datetime.now(UTC)
        await hosts["backend-3"].run("sudo -n doveadm service stop lmtp", check=True)
        await hosts["backend-3"].run("sudo -n systemctl stop dovecot", check=True)
        await hosts["director-1"].run(f"sudo -n doveadm director down {ip}", check=True)
        await hosts["director-1"].run(f"sudo -n doveadm director flush {ip}", check=True)
        async with asyncio.timeout(WITHIN.total_seconds()):
            while not all(await asyncio.gather(*(_is_empty(hosts[name], ip) for name in lab.directors))):
                pass
        ended = datetime.now(UTC)
    return Upgrade(began=began, ended=ended, seen={"take-down": began, "users 0": ended})


async def _is_empty(director: asyncssh.SSHClientConnection, ip: str) -> bool:
    status = await director.run("sudo -n doveadm -f tab director status", check=True)
    rows = (line.split("\t") for line in str(status.stdout).splitlines())
    return any(row[0] == ip and row[-1] == "0" for row in rows)


# a busy ring


@contextmanager
def ring(user_expire: timedelta = EXPIRE_SOON) -> Iterator[Lab]:
    """A lab whose sudo has the bot's rules to read, and lets everybody else's commands pass too."""
    if reason := missing():
        raise NotMeasured(reason)
    rules = f"{all_rules(site_of(Lab(), Path()))}\n{EVERYTHING}\n"
    with Lab(sudoers=rules, user_expire=user_expire) as lab:
        yield lab


def everybody_home(lab: Lab) -> None:
    """The ring as it was, and each user on the backend that its name leads to."""
    put_back(lab, {})
    lab.run("director-1", "doveadm director flush all", check=True)
    wait_for("users are on backend-3 again", lambda: mapped(lab) >= AT_WORK // 5)


@asynccontextmanager
async def busy_ring() -> AsyncIterator[Lab]:
    with ring() as lab:
        long = timedelta(hours=1)
        async with MailUsers(lab, AT_WORK, at_most=long), Newcomers(lab, at_most=long):
            yield lab


async def fresh(lab: Lab, upgrade: Callable[[], Awaitable[Upgrade]]) -> Upgrade:
    await asyncio.to_thread(everybody_home, lab)
    return await upgrade()


def ran_on(lab: Lab) -> list[Ran]:
    """All that the hosts of an upgrade ran, as they noted it."""
    return [ran for host in (*lab.directors, "backend-3") for ran in lab.log(host)]


def in_commands(log: Sequence[Ran], upgrade: Upgrade, only: str = "") -> float:
    """Seconds for which what alters hosts has run in an upgrade, or that command alone, as their sudo says."""
    return sum(
        ran.took.total_seconds()
        for ran in log
        if ran.took and upgrade.began <= ran.at <= upgrade.ended
        if (ran.command == only if only else not only_looks(ran.command))
    )


@dataclass(frozen=True, kw_only=True)
class Felt:
    """Of the logins and mails that were begun during an upgrade."""

    logins: int
    failed: int
    mails: int
    deferred: int

    def __str__(self) -> str:
        none = "" if self.failed else f" (at most {100 * 3 / self.logins:.2g} %: 3/N)"
        return f"{self.failed} of {self.logins:,} logins failed{none}, {self.deferred} of {self.mails:,} mails deferred"


async def felt(lab: Lab, upgrade: Callable[[], Awaitable[Upgrade]]) -> Felt:
    async with MailUsers(lab) as users, Deliveries(lab) as mails, Newcomers(lab):
        await asyncio.to_thread(everybody_home, lab)
        await asyncio.sleep(SETTLED)
        seen = await upgrade()
        within = (seen.began, seen.ended)
        return Felt(
            logins=sum(within[0] <= one.at <= within[1] for one in list(users.logins)),
            failed=len(users.failed(*within)),
            mails=sum(within[0] <= one.at <= within[1] for one in list(mails.attempts)),
            deferred=len(mails.failed(*within)),
        )
