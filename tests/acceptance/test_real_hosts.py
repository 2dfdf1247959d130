"""Settings that mean the wrong host, on a real ring: it is found out before anything is changed on any host."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bot.practice.scene import Scene
from tests.acceptance.practice import at_gate, cli, wording
from tests.acceptance.realring import altered, by_hand, lab_for_users, site_of
from tests.forked import forked
from tests.lab import Lab
from tests.lab.files import Host, ssh_config
from tests.lab.users import MailUsers

QUESTION = "Every host is the one that the settings mean"


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_for_users() as running:
        yield running


@asynccontextmanager
async def misled(lab: Lab, name: str, *, reaches: str) -> AsyncIterator[Scene]:
    """A bot in whose settings a host has the SSH name `alias`, which reaches another host."""
    other = {**lab.directors, **lab.backends}[reaches]
    with (lab.directory / "ssh_config").open("a") as config:
        config.write(ssh_config(lab.directory, Host(name=f"to-{reaches}", role=other.role, ip=other.ip)))
    async with Scene(site_of(lab, lab.directory), drain=timedelta(seconds=1), launch=forked) as scene:
        rewrite(scene.settings, f'name = "{name}"', f'name = "{name}", ssh = "to-{reaches}"')
        yield scene


def rewrite(settings: Path, old: str, new: str) -> None:
    text = settings.read_text()
    assert text.count(old) == 1
    settings.write_text(text.replace(old, new))


async def refusal(scene: Scene) -> str:
    """Ask for a run on backend-3; returns what whoever asked is told of its end, and nobody else."""
    await scene.start_bot()
    await scene.ask("backend-3 restart=yes")
    said = wording(scene.slack.ephemerals[-1])
    assert "is refused" in said
    assert scene.slack.messages == []
    return said


async def test_a_backend_whose_ssh_name_reaches_another_one_is_refused_and_nothing_is_changed_anywhere(
    lab: Lab,
) -> None:
    """It moved the users of one backend, and stopped the other with all of its own: 43 failed logins, and done."""
    since = datetime.now(UTC)
    async with misled(lab, "backend-3", reaches="backend-2") as scene, MailUsers(lab, count=20) as users:
        planned = await cli("plan", "backend-3", "restart=yes", "--config", str(scene.settings))
        said = await refusal(scene)
    # Among the addresses that this machine has besides.
    expected = re.compile(rf"it has ([0-9a-f.:]+, )*{re.escape(lab.backends['backend-2'].ip)}, ")
    assert planned.status == 1
    assert QUESTION in planned.out
    assert expected.search(planned.out)
    assert expected.search(said)
    assert "machine_id" in said
    assert altered(lab, since) == []
    assert users.failed() == []


async def test_one_ssh_name_for_two_backends_is_refused_when_the_settings_are_read(lab: Lab) -> None:
    """No host need be asked for that."""
    async with Scene(site_of(lab, lab.directory)) as scene:
        rewrite(scene.settings, 'name = "backend-3"', 'name = "backend-3", ssh = "backend-2"')
        checked = await cli("check", "--config", str(scene.settings))
    assert checked.status == 2
    assert "backend-2 and backend-3 share ssh backend-2" in checked.err


async def test_two_directors_that_are_one_and_the_same_are_named_and_the_run_is_refused(lab: Lab) -> None:
    """The second one would never be asked, and a change would count as seen on every director."""
    since = datetime.now(UTC)
    async with misled(lab, "director-2", reaches="director-1") as scene:
        planned = await cli("plan", "backend-3", "restart=yes", "--config", str(scene.settings))
        said = await refusal(scene)
    expected = f"director-1 and director-2 are one and the same director, {lab.directors['director-1'].ip}:9090"
    assert planned.status == 1
    assert expected in planned.out
    assert expected in said
    assert altered(lab, since) == []


async def test_one_ring_under_two_names_has_one_backend_out_at_once(lab: Lab) -> None:
    """What is held is what the directors say of themselves: two names for them put two backends of a ring to 0."""
    with (lab.directory / "ssh_config").open("a") as config:
        for host in (*lab.directors.values(), *lab.backends.values()):
            config.write(ssh_config(lab.directory, replace(host, name=f"other-{host.name}")))
    ring = ["[[rings]]", 'name = "other"', f'test_user = "{lab.test_user}"', "metacache = {}", "directors = ["]
    ring += [f'    {{name = "other-{name}", sudo = true}},' for name in lab.directors]
    ring += ["]", "backends = ["]
    ring += [f'    {{name = "other-{name}", ip = "{host.ip}", sudo = true}},' for name, host in lab.backends.items()]
    async with Scene(site_of(lab, lab.directory), drain=timedelta(seconds=1), launch=forked) as scene:
        scene.settings.write_text("\n".join([scene.settings.read_text(), *ring, "]", ""]))
        await scene.start_bot()
        await scene.ask("backend-3 restart=yes")
        await at_gate(scene, "flush")
        since = datetime.now(UTC)
        await scene.ask("other-backend-2 restart=yes")
        said = wording(scene.slack.ephemerals[-1])
        assert "is refused" in said
        assert "is claimed by run" in said
        assert altered(lab, since) == []
    await asyncio.to_thread(by_hand, lab, "update backend-3 100")
