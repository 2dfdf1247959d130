"""The practice ring and the real one: the same commands, the same answers; else whoever practises learns lies.

The real ring is shared by the tests of this module, and put back after each.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from bot.core.readings.probes import PROBES
from bot.errors import Unreadable
from tests.contract.fixtures import practice, real, ring
from tests.contract.rings import NAME, EitherRing, Practice, practising
from tests.contract.walking import Told, Walk, changing, material, panorama, plan_for, serving, standing, way_back
from tests.lab.fixtures import lab
from tests.patience import PATIENCE

__all__ = ["lab", "practice", "real", "ring"]

ELSEWHERE = "203.0.113.9"


def differences(told: Told, practised: Told) -> list[object]:
    """Where the practice ring tells another story than the real one: the step, and both."""
    assert list(told) == list(practised)
    parted: list[object] = [(step, told[step][0]) for step in told if told[step][0] is not practised[step][0]]
    for step in told:
        pairs = zip(told[step][1], practised[step][1], strict=True)
        parted += [(step, real, pretended) for real, pretended in pairs if real != pretended]
    return parted


# the plan, in its order

Story = Callable[[EitherRing, Path], Awaitable[Told]]


async def there_and_back(ring: EitherRing, folder: Path) -> Told:
    """The upgrade with packages and configuration up to the restore, and then everything undone."""
    brought = await material(ring, folder)
    walk = Walk(ring, brought)
    walk.told["as usual"] = (
        None,
        await panorama(ring, [*changing(ring, brought), *serving(ring), *standing(ring, brought)]),
    )
    plan = plan_for(ring, brought)
    await walk.follow(plan, until="approve-restore")
    await walk.follow(way_back(plan, walk.observed))
    return walk.told


async def without_config_and_packages(ring: EitherRing, _folder: Path) -> Told:
    """To its end: the restore is what the first story leaves out."""
    walk = Walk(ring, tells=("set-vhosts-back", "director-up"))
    await walk.follow(plan_for(ring))
    assert (await ring.read("director-2", "director-hosts"))["users"]
    return walk.told


async def moving_first(ring: EitherRing, _folder: Path) -> Told:
    """The other order: nobody is mapped and nobody has a session when anything stops."""
    walk = Walk(ring, tells=("move-users", "stop-lmtp", "stop-dovecot", "director-down", "flush-users"))
    await walk.follow(plan_for(ring, moves_first=True))
    assert (walk.told["move-users"][0], walk.told["flush-users"][0]) == (False, True)
    return walk.told


_practised: dict[Story, Told] = {}
"""What the practice ring told, which is asked once."""


async def walked(story: Story, ring: EitherRing, folder: Path) -> Told:
    """What the ring tells on the way; the real one has to tell what the practice ring does."""
    told = await story(ring, folder)
    if isinstance(ring, Practice):
        _practised[story] = told
        return told
    if story not in _practised:
        (folder / "practised").mkdir()
        async with practising() as twin:
            _practised[story] = await story(twin, folder / "practised")
    assert differences(told, _practised[story]) == []
    return told


async def test_every_change_of_the_upgrade_and_its_undo_is_seen_done(ring: EitherRing, tmp_path: Path) -> None:
    """On both rings alike: probes judge the same, read the same, and for the same reasons, after every single step."""
    told = await walked(there_and_back, ring, tmp_path)
    assert {"install-packages", "undo-install-packages", "undo-install-config", "undo-director-down"} <= told.keys()


async def test_a_run_without_config_and_packages_ends_with_users_on_the_backend(
    ring: EitherRing, tmp_path: Path
) -> None:
    await walked(without_config_and_packages, ring, tmp_path)


async def test_users_are_moved_while_the_backend_serves_and_the_take_down_finds_it_done(
    ring: EitherRing, tmp_path: Path
) -> None:
    await walked(moving_first, ring, tmp_path)


async def test_no_probe_is_left_out(practice: Practice) -> None:
    """A probe that nobody compares is where the two rings part."""
    assert {probe for _, probe, _ in (*changing(practice), *serving(practice), *standing(practice))} == set(PROBES)


# exit statuses

DIRECTOR_STATUSES = {
    "update {ip} 0": 0,
    "down {ip}": 0,
    "flush {ip}": 0,
    "up {ip}": 0,
    f"update {ELSEWHERE} 0": 75,
    f"down {ELSEWHERE}": 68,
    f"up {ELSEWHERE}": 68,
    f"flush {ELSEWHERE}": 68,
    "update {ip}": 64,
    "update {ip} many": 64,
    "flush": 64,
}


async def test_director_commands_exit_alike_and_may_be_repeated(ring: EitherRing) -> None:
    """The bot repeats after a doubt: the second time has to change nothing, and to exit 0."""
    for command, status in DIRECTOR_STATUSES.items():
        for director in ("director-1", "director-1", "director-2"):
            done = await ring.run(director, f"doveadm director {command.format(ip=ring.ip)}")
            assert (command, done.exit_status) == (command, status), done
    reading = await ring.read("director-2", "director-hosts")
    assert (reading["vhosts"], reading["state"]) == (0, "up")


BACKEND_COMMANDS = {
    "doveadm service stop nosuch": (68, 75),
    "doveadm service stop lmtp": (0, 75),
    "doveadm reload": (0, 75),
    "doveadm mailbox list -u {user}": (0, 75),
    "doveadm nosuch": (64, 64),
    "systemctl stop nosuch": (5, 5),
    "systemctl start nosuch": (5, 5),
    "systemctl mask --runtime nosuch": (0, 0),
    "systemctl unmask --runtime nosuch": (0, 0),
    "systemctl show --property=LoadState nosuch": (0, 0),
    "apt-cache madison nosuch": (0, 0),
    "find /nowhere": (1, 1),
    "doveconf -n -c /nowhere": (89, 89),
    "nosuchcommand": (1, 1),
    "systemctl stop dovecot": (0, 0),
}
"""With dovecot running, and stopped; the last of them stops it."""


async def test_backend_commands_exit_alike_while_dovecot_runs_and_when_it_is_stopped(ring: EitherRing) -> None:
    """What the bot makes of an answer begins with its exit status."""
    user = ring.target.ring.test_user
    for stopped in (0, 1):
        for command, statuses in BACKEND_COMMANDS.items():
            done = await ring.run(NAME, command.format(user=user))
            assert (command, done.exit_status) == (command, statuses[stopped]), done


# directors that go and come


async def test_a_change_is_made_without_the_director_that_is_away_which_learns_of_it_later(ring: EitherRing) -> None:
    """The change is answered once the lost director is given up: 20 seconds on a real ring."""
    await ring.set_away("director-2", away=True)
    with pytest.raises(Unreadable, match=r"exited with 75: .*director-admin.* failed: Connection refused"):
        await ring.read("director-2", "director-hosts")
    seen = await ring.read("director-1", "director-ring")
    assert not seen["synced"]
    # On a busy machine the look may come when the lost one has been given up already.
    assert "ring syncing - last sync" in str(seen["status"]) or str(seen["status"]).endswith(" away")
    for command in (f"update {ring.ip} 0", f"down {ring.ip}", f"flush {ring.ip}"):
        assert (await ring.run("director-1", f"doveadm director {command}")).exit_status == 0
    given_up = await ring.ask("director-1", "director-ring")
    reading = PROBES["director-ring"].read(ring.target, {}, given_up)
    assert (reading["synced"], str(reading["status"]).partition(";")[0]) == (False, "ring synced")
    assert [row.split("\t")[2:5:2] for row in given_up.stdout.splitlines()[1:]] == [["self", "ring synced"], ["", ""]]
    await ring.set_away("director-2", away=False)
    await ring.until_read("director-2", "director-ring", synced=True)
    await ring.until_read("director-2", "director-hosts", vhosts=0, state="down")


async def test_a_restarted_director_says_100_and_up_or_what_the_ring_says_and_nothing_else(ring: EitherRing) -> None:
    """Until it has heard the ring, what it says is the default; the watch over the ring has to know that."""
    for command in (f"update {ring.ip} 0", f"down {ring.ip}"):
        await ring.run("director-1", f"doveadm director {command}")
    seen = set()
    await ring.restart("director-2")
    async with asyncio.timeout(PATIENCE.total_seconds()):
        while (0, "down") not in seen:
            reading = await ring.read("director-2", "director-hosts")
            seen.add((reading["vhosts"], reading["state"]))
    assert seen <= {(100, "up"), (0, "down")}
    await ring.until_read("director-2", "director-ring", synced=True)
    assert (await ring.read("director-1", "director-hosts"))["vhosts"] == 0


async def test_a_ring_whose_directors_all_restart_forgets_even_a_stopped_backend(ring: EitherRing) -> None:
    """That is why it is watched as long as a backend is out."""
    await ring.run("director-1", f"doveadm director update {ring.ip} 0")
    await ring.run("director-1", f"doveadm director down {ring.ip}")
    await ring.run(NAME, "systemctl stop dovecot")
    await ring.restart("director-1", "director-2")
    for director in ("director-1", "director-2"):
        await ring.until_read(director, "director-ring", synced=True)
        await ring.until_read(director, "director-hosts", vhosts=100, state="up", others="as usual")
