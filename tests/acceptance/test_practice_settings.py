"""What is wrong before the bot can start is said with its file and place, and nobody is contacted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from bot.__main__ import app
from bot.errors import Misconfigured
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import Scene
from tests.acceptance.practice import CHECKOUT, Said, cli, staged

pytestmark = pytest.mark.asyncio(loop_scope="module")

AT_ONCE = 2
TOKENS = {"SLACK_BOT_TOKEN": "xoxb-practice", "SLACK_APP_TOKEN": "xapp-practice"}
SECRET = "7f3c-not-to-be-printed"

Spoil = Callable[[Path], None]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A start with something wrong: the command, what is done to the settings before it, what has to be said."""

    command: str = "serve"
    spoil: Spoil = lambda _folder: None
    tokens: Mapping[str, str] = field(default_factory=lambda: TOKENS)
    expected: tuple[str, ...]


def replaced(old: str, new: str) -> Spoil:
    """Settings in which something else stands."""

    def spoil(folder: Path) -> None:
        path = folder / "dovecot-bot.toml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return spoil


def with_procedure(old: str, new: str) -> Spoil:
    """Settings with procedures of their own, in one of which something else stands."""

    def spoil(folder: Path) -> None:
        replaced("[bot]", '[bot]\nprocedures = "procedures"')(folder)
        (folder / "procedures").mkdir()
        for path in (CHECKOUT / "procedures").glob("*.yaml"):
            (folder / "procedures" / path.name).write_text(path.read_text().replace(old, new, 1))

    return spoil


AS_A_PROCESS = {
    "tokens that are missing or of another kind": Case(
        tokens={"SLACK_BOT_TOKEN": f"xapp-{SECRET}"},
        expected=("SLACK_BOT_TOKEN: has a wrong form", "SLACK_APP_TOKEN: is not set", "begins with xoxb-"),
    ),
    "a bot token that Slack does not take": Case(
        tokens={"SLACK_BOT_TOKEN": f"xoxb-{SECRET}", "SLACK_APP_TOKEN": "xapp-practice"},
        expected=("Slack does not take the bot token: invalid_auth",),
    ),
    "an app token that Slack does not take": Case(
        tokens={"SLACK_BOT_TOKEN": "xoxb-practice", "SLACK_APP_TOKEN": f"xapp-{SECRET}"},
        expected=("Slack does not take the app-level token: invalid_auth",),
    ),
    "settings with unknown keys and wrong values": Case(
        spoil=replaced('journal = "journal.db"', 'journal = "journal.db"\ncolour = "blue"\napproval_open = "soon"'),
        expected=("dovecot-bot.toml: bot.colour: ", "dovecot-bot.toml: bot.approval_open: a length of time is"),
    ),
    "a journal in a database that is none of this bot's": Case(
        command="runs",
        spoil=replaced('"journal.db"', f'"postgresql://bot:{SECRET}@db.example.org/journal"'),
        expected=("dovecot-bot.toml: bot.journal: the journal is a file (SQLite) for now",),
    ),
    "a procedure with a command that no rule allows": Case(
        command="check",
        spoil=with_procedure("doveadm director flush {backend.ip}", "doveadm director flush -F {backend.ip}"),
        expected=("dovecot-upgrade.yaml: ", "move-users", "-F"),
    ),
}

MISTAKES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "settings that are no TOML": (replaced("[slack]", "[slack"), ("dovecot-bot.toml: ", "(at line ")),
    "an inventory with a host name where an address belongs": (
        replaced('ip = "192.0.2.13"', 'ip = "backend-3.example.org"'),
        ("dovecot-bot.toml: rings.0.backends.2.ip: an IP address is expected, not a name",),
    ),
    "an inventory with an address twice": (
        replaced('ip = "192.0.2.13"', 'ip = "192.0.2.12"'),
        ("dovecot-bot.toml: rings.0", "backend-2 and backend-3 share ip 192.0.2.12"),
    ),
    "a procedure with a word that is none": (
        with_procedure("        says: Stop LMTP", "        sayz: Stop LMTP"),
        ("dovecot-upgrade.yaml: stages.4.steps.1", "sayz"),
    ),
    "a procedure that is no YAML": (
        with_procedure("stages:\n", "stages: [\n"),
        ("dovecot-upgrade.yaml: ", "line "),
    ),
    "a procedure whose probe does not exist": (
        with_procedure("{probe: director-ring, where: every director, synced: true}", "{probe: horoscope}"),
        ("dovecot-upgrade.yaml: ", "horoscope"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What all of the cases said, and whom they contacted."""

    said: Mapping[str, Said]
    ring: PracticeRing
    scene: Scene


def spoilt(folder: Path, scene: Scene, spoil: Spoil) -> Path:
    """The scene's settings in that folder, with something wrong in them."""
    settings = folder / "dovecot-bot.toml"
    settings.write_text(scene.settings.read_text())
    spoil(folder)
    return settings


async def tried(name: str, scene: Scene, room: asyncio.Semaphore) -> Said:
    case, folder = AS_A_PROCESS[name], scene.folder / name.replace(" ", "-")
    folder.mkdir()
    settings = spoilt(folder, scene, case.spoil)
    async with room:
        env = {**case.tokens, "SLACK_API_URL": scene.slack.api_url}
        return await cli(case.command, "--config", str(settings), env=env)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def all_tried() -> AsyncIterator[Tried]:
    """Every case, some at a time: what takes long is Python's own start."""
    room = asyncio.Semaphore(AT_ONCE)
    async with staged(start=False) as (ring, scene):
        said = await asyncio.gather(*(tried(name, scene, room) for name in AS_A_PROCESS))
        yield Tried(said=dict(zip(AS_A_PROCESS, said, strict=True)), ring=ring, scene=scene)


@pytest.mark.parametrize("name", AS_A_PROCESS)
async def test_a_mistake_is_told_with_its_place_on_standard_error_and_the_bot_does_not_start(
    all_tried: Tried, name: str
) -> None:
    said = all_tried.said[name]
    assert said.status == 2, said.err
    for part in AS_A_PROCESS[name].expected:
        assert part in said.err
    assert "Traceback" not in said.err + said.out


@pytest.mark.parametrize("name", MISTAKES)
async def test_every_mistake_in_a_file_has_its_file_and_place(all_tried: Tried, tmp_path: Path, name: str) -> None:
    """In this process, as Python's start is what takes long; how it ends as a process is seen above."""
    spoil, expected = MISTAKES[name]
    settings = spoilt(tmp_path, all_tried.scene, spoil)
    with pytest.raises(Misconfigured) as wrong:
        app(["check", "--config", str(settings)], standalone_mode=False)
    for part in expected:
        assert part in str(wrong.value)


async def test_no_token_is_ever_printed(all_tried: Tried) -> None:
    for said in all_tried.said.values():
        assert SECRET not in said.out + said.err


async def test_nothing_is_contacted_but_slack_by_those_whose_tokens_only_slack_can_judge(all_tried: Tried) -> None:
    """Sign-in comes before everything else: with a token that is none, no host hears of the bot."""
    assert all_tried.ring.log == []
    slack = all_tried.scene.slack
    assert {call.method for call in slack.calls} <= {"auth.test", "apps.connections.open"}
    assert len(slack.calls) == 1 + 2  # each stops where Slack says no
    assert slack.sockets == 0
    assert slack.messages == []
