"""Trouble on a real ring: whatever breaks, the ring is as it should be afterwards, and no login fails that need not."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from bot.practice.scene import REQUESTER, SECOND, Scene
from tests.acceptance.realring import at_work, lab_for_the_bot, outcome_as_users_come, proposed
from tests.lab import Lab, wait_for
from tests.lab.said import SSH_LOG
from tests.lab.users import MailUsers
from tests.patience import SECONDS


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_for_the_bot() as running:
        yield running


async def stage(scene: Scene, number: int) -> datetime:
    """Announced, or, where it changes nothing, told."""
    await scene.slack.until(lambda: any(f"tage {number} of" in one.text for one in scene.thread))
    return datetime.now(UTC)


def of_the_take_down(users: MailUsers, down: datetime, up: datetime) -> list[object]:
    """The failed logins that no take-down explains."""
    inside = users.failed(down, up)
    return [one for one in users.failed() if one not in inside]


async def test_a_bot_killed_in_each_stage_brings_the_run_to_its_end(lab: Lab) -> None:
    async with at_work(lab) as scene, MailUsers(lab, count=20) as users:
        await scene.ask("backend-3 restart=yes")
        moments = []
        for number in (1, 2, 3, 4, 5, 6):
            moments.append(await stage(scene, number))
            await scene.kill_bot()
            await scene.start_bot()
        assert await outcome_as_users_come(lab, scene) == "done"
    assert await asyncio.to_thread(lab.is_as_usual)
    assert lab.run("backend-3", "systemctl is-active dovecot").stdout.strip() == "active"
    assert of_the_take_down(users, moments[2], moments[3] + timedelta(seconds=1)) == []
    for director in lab.directors:
        flushes = [one for one in lab.log(director) if "director flush" in one.command and one.via == "sudo"]
        assert len(flushes) <= 1


async def set_back(lab: Lab, scene: Scene) -> None:
    """The thread says so, and every director's own table does."""
    await scene.slack.until(lambda: any(one.text.startswith("Set back") for one in scene.thread))
    out = lambda: all("\t0\t" in row for row in rows_of(lab, "backend-3"))  # noqa: E731
    await asyncio.to_thread(wait_for, "every director says vhosts 0", out)


def rows_of(lab: Lab, backend: str) -> list[str]:
    ip = lab.backends[backend].ip
    tables = [lab.run(name, "doveadm -f tab director status", check=True).stdout for name in lab.directors]
    return [row for table in tables for row in table.splitlines() if row.startswith(f"{ip}\t")]


async def test_a_director_that_restarts_while_the_backend_drains_is_set_back(lab: Lab) -> None:
    async with at_work(lab, approves=False) as scene:
        await scene.ask("backend-3 restart=yes")
        await scene.slack.until(lambda: scene.open_buttons("approve"))
        await asyncio.to_thread(lab.restart_director, "director-2")
        await asyncio.to_thread(lab.run, "director-1", f"doveadm director update {lab.backends['backend-3'].ip} 100")
        await set_back(lab, scene)
        await scene.click(SECOND, "approve")
        await scene.click(SECOND, "approve")
        assert await outcome_as_users_come(lab, scene) == "done"
    assert await asyncio.to_thread(lab.is_as_usual)


async def test_ssh_cut_while_dovecot_stops_is_looked_up_and_not_run_twice(lab: Lab) -> None:
    before = stops(lab)
    async with at_work(lab) as scene:
        await scene.ask("backend-3 restart=yes")
        async with asyncio.timeout(SECONDS):
            while stops(lab) == before:
                await asyncio.sleep(0.01)
        assert await asyncio.to_thread(lab.cut_ssh, "backend-3")
        assert await outcome_as_users_come(lab, scene) == "done"
        assert any("nclear" in one.text for one in scene.thread), "the cut came too late to be one"
    assert stops(lab) == before + 1
    assert await asyncio.to_thread(lab.is_as_usual)


def stops(lab: Lab) -> int:
    return lab.read("backend-3", SSH_LOG).count("systemctl stop dovecot")


async def test_all_directors_restart_while_the_backend_is_stopped_and_a_failed_start_goes_back(lab: Lab) -> None:
    """doveconf accepts the configuration, and dovecot cannot bind its port: what no preflight can see. While the run
    holds there, the ring forgets that the backend is out."""
    files = "cd /etc/dovecot && find . -type f | sort | xargs sha256sum"
    before = lab.run("backend-3", files, check=True).stdout
    unbindable = b"service imap-login {\n  inet_listener imap {\n    port = 22\n  }\n}\n"
    async with at_work(lab) as scene:
        scene.propose("broken", await asyncio.to_thread(proposed, lab, unbindable))
        await scene.ask("backend-3 config=broken packages=keep")
        await scene.slack.until(lambda: scene.open_buttons("go_back"))
        await asyncio.to_thread(lab.restart_all_directors)
        await set_back(lab, scene)
        held = await scene.question("go_back", within=60)
        await scene.slack.fill_in(REQUESTER, held, "go_back", "it does not get well")
        assert await outcome_as_users_come(lab, scene) == "went back"
    assert lab.run("backend-3", files, check=True).stdout == before
    assert await asyncio.to_thread(lab.is_as_usual)
