"""The rows of the real ring: whole runs beside a playbook, a shell script and the bare commands."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from bot.practice.scene import SECOND
from tests.acceptance.realring import PACKAGES, always, log_users_in, mapped
from tests.acceptance.test_real_doubt import STOP, stopped_in_its_tracks, until_sent
from tests.acceptance.test_real_move import MOVE_FIRST, PRO
from tests.bench import upgrades
from tests.bench.row import By, Mark, Measured, Row, times
from tests.bench.upgrades import DRAIN, Felt, Upgrade
from tests.lab import Lab
from tests.lab.fixtures import FOR_AS_LONG_AS_IT_TAKES
from tests.patience import SECONDS

PLAYBOOK = "an Ansible playbook that reads back the same proofs"
RESTART = "backend-3 restart=yes"
TEN_SECONDS = """
mkdir -p /etc/systemd/system/dovecot.service.d
printf '[Service]\\nExecStartPre=/bin/sleep 10\\n' >/etc/systemd/system/dovecot.service.d/bench.conf
systemctl daemon-reload
"""
"""The upgrade itself takes ten seconds, whoever does it: what starts dovecot waits for them."""


# the rows of a restart: the same runs serve all of them


@dataclass(frozen=True, kw_only=True)
class Round:
    """One run of each.

    Seconds: `first` and `looked` from the click to the first change, and to the first command of any kind; `own` of the
    bot's commands that alter hosts; `stops` of systemd's stop, the bot's and the bare one.
    """

    bot: Upgrade
    playbook: Upgrade
    shell: Upgrade
    bare: Upgrade
    first: float
    looked: float
    own: float
    stops: tuple[float, float]

    @property
    def seconds(self) -> float:
        """Of the bot's run, without its drain."""
        return self.bot.seconds - DRAIN.total_seconds()


Figure = Callable[[Round], float]


class Rounds:
    """Played once, for all rows that are made of them."""

    def __init__(self) -> None:
        self._playing: asyncio.Task[list[Round]] | None = None

    def measuring(
        self, ours: Figure, theirs: Figure | None = None, *, bound: str, beside: Mapping[str, Figure] | None = None
    ) -> Callable[[int], Awaitable[Measured]]:
        """What measures a row; `beside`: what else is said of each round, in seconds."""

        async def measure(runs: int) -> Measured:
            self._playing = self._playing or asyncio.create_task(_rounds(runs))
            rounds = await self._playing
            return Measured(
                ours=tuple(map(ours, rounds)),
                theirs=tuple(map(theirs, rounds)) if theirs else (),
                unit="s",
                bound=bound,
                beside=tuple(
                    f"{what}: {', '.join(f'{figure(one):.2f}' for one in rounds)} s"
                    for what, figure in (beside or {}).items()
                ),
            )

        return measure


async def _rounds(runs: int) -> list[Round]:
    async with upgrades.busy_ring() as lab:
        return [await _round(lab) for _ in range(runs)]


async def _round(lab: Lab) -> Round:
    bot = await upgrades.fresh(lab, partial(upgrades.by_bot, lab, RESTART))
    playbook = await upgrades.fresh(lab, partial(upgrades.by_playbook, lab))
    shell = await upgrades.fresh(lab, partial(upgrades.by_shell, lab))
    bare = await upgrades.fresh(lab, partial(upgrades.take_down_bare, lab))
    log = await asyncio.to_thread(upgrades.ran_on, lab)
    assert bot.clicked
    click = bot.clicked
    since = [((ran.at - click).total_seconds(), ran.command) for ran in log if click <= ran.at <= bot.ended]
    return Round(
        bot=bot,
        playbook=playbook,
        shell=shell,
        bare=bare,
        first=min(seconds for seconds, command in since if command == "doveadm service stop lmtp"),
        looked=min(since)[0],
        own=upgrades.in_commands(log, bot),
        stops=(upgrades.in_commands(log, bot, STOP), upgrades.in_commands(log, bare, STOP)),
    )


# with packages


async def _packages(runs: int) -> Measured:
    ours: list[float] = []
    theirs: list[float] = []
    commands: list[str] = []
    async with upgrades.busy_ring() as lab:
        for _ in range(runs):
            for by, beyond in ((_packages_by_bot, ours), (_packages_by_playbook, theirs)):
                upgrade = await upgrades.fresh(lab, partial(by, lab))
                own = upgrades.in_commands(await asyncio.to_thread(upgrades.ran_on, lab), upgrade)
                beyond.append(upgrade.seconds - own - (DRAIN.total_seconds() if beyond is ours else 0))
                commands.append(f"{own:.1f}")
    return Measured(
        ours=tuple(ours),
        theirs=tuple(theirs),
        unit="s",
        bound="As without packages; and apt's check and simulation three times, the last once the approval is given.",
        beside=(f"the commands themselves, ours and theirs in turn: {', '.join(commands)} s",),
    )


async def _packages_by_bot(lab: Lab) -> Upgrade:
    version = await asyncio.to_thread(lab.other_version, "backend-3")
    return await upgrades.by_bot(lab, f"backend-3 packages={','.join(f'{name}={version}' for name in PACKAGES)}")


async def _packages_by_playbook(lab: Lab) -> Upgrade:
    other, now = await asyncio.to_thread(lambda: (lab.other_version("backend-3"), lab.installed_version("backend-3")))
    packages, before = (" ".join(f"{name}={version}" for name in PACKAGES) for version in (other, now))
    return await upgrades.by_playbook(lab, packages=packages, before=before)


# a director that hangs


async def _hanging(runs: int) -> Measured:
    with upgrades.ring(FOR_AS_LONG_AS_IT_TAKES) as lab:
        pairs = [(await _moved(lab, hangs=True), await _moved(lab, hangs=False)) for _ in range(runs)]
    return Measured(
        ours=tuple(hanging for hanging, _ in pairs),
        theirs=tuple(none for _, none in pairs),
        unit="s",
        bound="Doubt about a director lasts three seconds; then the command goes to another one.",
    )


async def _moved(lab: Lab, *, hangs: bool) -> float:
    """Seconds from dovecot's stop until its users are moved, as a director says that does not hang."""
    await log_users_in(lab)
    await asyncio.to_thread(upgrades.everybody_home, lab)
    lab.run("backend-3", "rm -f /var/log/lab/ssh.log", check=True)
    async with upgrades.bot_at_work(lab) as scene:
        second = asyncio.create_task(always(scene, SECOND, "approve"))
        await scene.ask(RESTART)
        await until_sent(lab, "backend-3", STOP)
        async with stopped_in_its_tracks(lab) if hangs else nullcontext(), asyncio.timeout(SECONDS):
            while await asyncio.to_thread(mapped, lab):
                await asyncio.sleep(0.1)
            moved = datetime.now(UTC)
        second.cancel()
        await asyncio.gather(second, return_exceptions=True)
    stop = next(ran for ran in reversed(lab.log("backend-3")) if ran.via == "sudo" and ran.command == STOP)
    assert stop.took
    return (moved - stop.at - stop.took).total_seconds()


# what users feel


async def _failed_logins(runs: int) -> Measured:
    seen: dict[str, list[Felt]] = {"move-first": [], "runbook order": [], "the playbook": []}
    with upgrades.ring(FOR_AS_LONG_AS_IT_TAKES) as lab:
        lab.run("backend-3", f"{PRO}\n{TEN_SECONDS}", check=True)
        for _ in range(runs):
            seen["move-first"].append(
                await upgrades.felt(lab, partial(upgrades.by_bot, lab, RESTART, take_down=MOVE_FIRST))
            )
            seen["runbook order"].append(await upgrades.felt(lab, partial(upgrades.by_bot, lab, RESTART)))
            seen["the playbook"].append(await upgrades.felt(lab, partial(upgrades.by_playbook, lab)))
    return Measured(
        ours=tuple(one.failed + one.deferred for one in seen["move-first"]),
        unit="failed or deferred",
        bound="In runbook order users of a stopped backend fail until the flush has moved them.",
        beside=tuple(f"{name}: {one}" for name, every in seen.items() for one in every),
    )


ROUNDS = Rounds()
ROWS = (
    Row(
        name="whole-playbook",
        what="whole run with `restart=yes`, runbook order, users logging in, no waits, instant clicks",
        against=PLAYBOOK,
        mark=times(most=0.4),
        runs=5,
        measure=ROUNDS.measuring(
            lambda one: one.seconds,
            lambda one: one.playbook.seconds,
            bound="Systemd stops, masks, unmasks and starts; before each change the bot looks at all that guards it.",
            beside={"ours in the commands that alter hosts": lambda one: one.own},
        ),
    ),
    Row(
        name="whole-shell",
        what="the same",
        against="a shell script with OpenSSH connection sharing, which reads nothing back",
        mark=times(most=1.5),
        runs=5,
        measure=ROUNDS.measuring(
            lambda one: one.seconds,
            lambda one: one.shell.seconds,
            bound="Checks, and two rounds of looks a change, guards before it and proof after; the script has none.",
        ),
    ),
    Row(
        name="packages",
        what="with packages: time beyond what the commands themselves take",
        against="the playbook's",
        mark=times(most=0.4),
        runs=3,
        measure=_packages,
    ),
    Row(
        name="take-down",
        what="take-down in runbook order, from the first command to users 0 read on every director",
        against="the bare commands over one kept asyncssh connection",
        mark=times(most=1.2),
        runs=5,
        measure=ROUNDS.measuring(
            lambda one: one.bot.between("take-down", "users 0"),
            lambda one: one.bare.between("take-down", "users 0"),
            bound="Systemd's stop of dovecot; then the guards of the three changes behind the first.",
            beside={
                "systemd's stop, ours": lambda one: one.stops[0],
                "systemd's stop, theirs": lambda one: one.stops[1],
            },
        ),
    ),
    Row(
        name="first-command",
        what="first command sent after the approval's click",
        against="",
        mark=Mark(by=By.VALUE, unit="s", most=0.3),
        runs=5,
        measure=ROUNDS.measuring(
            lambda one: one.first,
            bound="The ring is seen to be whole, then what was approved to be as shown, then the change's own guards.",
            beside={"the first look after the click": lambda one: one.looked},
        ),
    ),
    Row(
        name="hanging",
        what="users moved after the stop, one director hanging",
        against="none hanging",
        mark=Mark(by=By.MORE, unit="s", most=4),
        runs=3,
        measure=_hanging,
    ),
    Row(
        name="failed-logins",
        what="failed logins and deferred mails, 10 s of upgrade, move-first (runbook order and the playbook beside)",
        against="",
        mark=Mark(by=By.VALUE, most=0, every=True),
        runs=1,
        measure=_failed_logins,
    ),
    Row(
        name="without-users",
        what="backend without users (vhosts 0 read → users coming), drain left out",
        against=PLAYBOOK,
        mark=times(most=1),
        runs=5,
        measure=ROUNDS.measuring(
            lambda one: one.bot.between("vhosts 0", "users") - DRAIN.total_seconds(),
            lambda one: one.playbook.between("vhosts 0", "users"),
            bound="As the whole run: it is most of it.",
        ),
    ),
)
