"""A whole bot in this process, with a secret planted in every place that it reads, and a look at every way out.

What people type, a person's reason, the settings, the environment, a proposed configuration, the files of a host, what
its commands print and complain of, an error of the network, an exception: `played` returns all that came out.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from bot import bootstrap
from bot.adapters.ssh import SshHosts
from bot.config import Tokens, read_settings
from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Host
from bot.engine.planning import Planner
from bot.errors import NotRun
from bot.practice.ring.ring import PracticeRing
from bot.practice.scene import REQUESTER, SECOND, Scene
from bot.practice.site import CONFIG, practice_site, reviewed_config
from bot.practice.values import Call, Program, failed, succeeded
from tests.acceptance.practice import CHECKOUT, answer, at_gate, cli, ended

BODY = (
    "MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj",
    "MzEfYyjiWA4R4/M2bS1GB4t7NXp98C3SC6dVMvDuictGeurT8jNbvJZHtCSuYEvu",
    "NMoSfm76oqFvAp8Gy0iz5sxjZmSnXyCdPEovGhLa0VzMaQ8s+CLOyS56YyCFGeJZ",
    "qwSIJdGFjJxyIrIdTfA2DDOkFtZoLyXQ8iZGzp01YOiIZUWJDrgsrxB1nPWyyD6f",
)
"""Lines of a private key."""

_PLACES = (
    "private file of the host",
    "private file of the configuration",
    "root-only file behind a link",
    "file that only its group may read",
    "list of users",
    "passwd line",
    "scheme in small letters",
    "proxy_pw",
    "psk",
    "signing_key",
    "what a host prints",
    "what a check complains of",
    "what a change complains of",
    "error of the network in a plan",
    "error of the network behind what is newer",
    "error of the network at the gate",
    "reason for a run",
    "ticket of a run",
    "reason for a skip",
    "reason for taking over",
    "package name",
    "typed by mistake",
    "exception",
    "settings",
)
SECRETS = {place: f"pl4nted{number:02}zq" for number, place in enumerate(_PLACES)}
TOKENS = {"bot token": "xoxb-practice", "app token": "xapp-practice"}


def leaks(outside: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Where something came out, and the place that it was planted in."""
    planted = [*SECRETS.items(), *TOKENS.items(), *(("part of a key", line) for line in BODY)]
    for where, text in outside.items():
        yield from ((where, place) for place, secret in planted if secret in text)


async def played() -> dict[str, str]:
    """From a plan to a run that is taken over by hand; by way, all that came out."""
    log = io.StringIO()
    async with _staged() as (ring, scene):
        with _logged(log):
            tokens = Tokens(
                bot_token=SecretStr(TOKENS["bot token"]),
                app_token=SecretStr(TOKENS["app token"]),
                api_url=scene.slack.api_url,
            )
            async with bootstrap.joined(read_settings(scene.settings), tokens):
                await _typed(scene)
                words = ring.backends["backend-3"].programs
                usual, words["dovecot"] = words["dovecot"], _complaining("what a check complains of")
                await _planned(scene, "flock -n", "error of the network in a plan")
                with _network_fails("sha256sum", "error of the network behind what is newer"):
                    await answer(scene, REQUESTER, f"plan backend-3 config={CONFIG}")
                    said = scene.slack.ephemerals
                    await scene.slack.until(lambda: "Nothing was begun: what" in said[-1].text)
                words["dovecot"] = usual
                await _run(ring, scene)
        return await _came_out(scene) | {"log": log.getvalue(), "repr": repr(tokens)}


@asynccontextmanager
async def _staged() -> AsyncIterator[tuple[PracticeRing, Scene]]:
    async with PracticeRing(user_expire=timedelta(seconds=1), login_patience=timedelta(seconds=8)) as ring:
        site = practice_site(ring)
        async with Scene(site, drain=timedelta(seconds=1), settings={"procedures": "procedures"}) as scene:
            procedures = scene.folder / "procedures"
            procedures.mkdir()
            for path in (CHECKOUT / "procedures").glob("*.yaml"):
                hurried = path.read_text().replace("stop lmtp\n", "stop lmtp\n        within: 1s\n")
                (procedures / path.name).write_text(hurried)
            _plant_files(ring, scene)
            yield ring, scene


def _plant_files(ring: PracticeRing, scene: Scene) -> None:
    """On the host and in the folder, so that each is in what the one changes of the other."""
    disk = ring.backends["backend-3"].disk
    disk.write("/etc/dovecot/private/passphrase", SECRETS["private file of the host"], mode=0o600)
    disk.write("/etc/dovecot/sql/connect.ext", f"x {SECRETS['file that only its group may read']}\n", mode=0o640)
    disk.write("/root/kept", SECRETS["root-only file behind a link"], mode=0o600)
    disk.write("/etc/dovecot/lists/imap", f"bob:{SECRETS['passwd line']}:1000:1000::/home/bob\n")
    disk.write("/etc/dovecot/parts.txt", "\n".join((*BODY, "one", *BODY, "")))
    disk.write("/etc/dovecot/conf.d/95-proxy.conf", f"imapc_proxy_pw = {SECRETS['proxy_pw']}\n")
    files = {
        "private/passphrase": SECRETS["private file of the configuration"],
        "users": f"bob {SECRETS['list of users']}\n",
        "lists/imap": f"alice:{{plain}}{SECRETS['scheme in small letters']}\n",
        "parts.txt": "\n".join((*BODY, "another", *BODY, "")),
        "conf.d/95-proxy.conf": f"psk = {SECRETS['psk']}\nauth_signing_key={SECRETS['signing_key']}\n",
    }
    scene.propose(CONFIG, reviewed_config(ring) | {name: text.encode() for name, text in files.items()})
    (scene.folder / "configs" / CONFIG / "evil.conf.ext").symlink_to("/root/kept")


@contextmanager
def _logged(stream: io.StringIO) -> Iterator[None]:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    root.handlers = []
    bootstrap.log_to(stream)
    try:
        yield
    finally:
        root.level, root.handlers = before


async def _typed(scene: Scene) -> None:
    """By mistake; and what the bot fails with."""
    await answer(scene, REQUESTER, f"backend-3 packages=xoxb-1234567-{SECRETS['package name']}=1")
    await answer(scene, REQUESTER, f'plan backend-3 reason="with xoxb-1234567-{SECRETS["typed by mistake"]}"')
    await answer(scene, REQUESTER, f"password={SECRETS['typed by mistake']} backend-3")
    await answer(scene, REQUESTER, f"backend-3 password={SECRETS['typed by mistake']}")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Planner, "dry_run", _fails(RuntimeError(f"password = {SECRETS['exception']}")))
        await answer(scene, REQUESTER, "plan backend-3 restart=yes")


def _fails(error: Exception) -> Callable[..., object]:
    async def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@contextmanager
def _network_fails(command: str, place: str) -> Iterator[None]:
    """Commands that hold this text are not run, and the reason is no good one."""
    run = SshHosts.run

    async def fails(hosts: SshHosts, host: Host, asked: Command, **more: Any) -> Result:
        if command in asked.text:
            raise NotRun(f"{host.name}: no connection. password = {SECRETS[place]}")
        return await run(hosts, host, asked, **more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(SshHosts, "run", fails)
        yield


async def _planned(scene: Scene, command: str, place: str) -> None:
    since = len(scene.slack.ephemerals)
    with _network_fails(command, place):
        await answer(scene, REQUESTER, f"plan backend-3 config={CONFIG} packages=keep")
        await scene.slack.until(lambda: "steps; digest" in str([one.blocks for one in scene.slack.ephemerals[since:]]))


async def _run(ring: PracticeRing, scene: Scene) -> None:
    backend = ring.backends["backend-3"]
    backend.greeting = lambda *_: succeeded(f"* OK password={SECRETS['what a host prints']}\n")
    why = f'reason="its password: {SECRETS["reason for a run"]}" ticket="token {SECRETS["ticket of a run"]}"'
    await scene.ask(f"backend-3 config={CONFIG} {why}")
    asked = await at_gate(scene, "flush")
    with _network_fails("flock -n", "error of the network at the gate"):
        await scene.slack.click(SECOND, asked, "approve")
        await scene.slack.until(lambda: scene.open_buttons("retry"))
    usual = backend.programs["doveadm"]
    backend.programs["doveadm"] = _complaining("what a change complains of", usual, "service stop lmtp")
    await scene.click(SECOND, "retry")
    await scene.slack.until(lambda: "exit 1" in str(scene.open_buttons("retry")[-1:]))
    held = (await scene.slack.until(lambda: scene.open_buttons("skip")))[-1]
    await _gives_a_reason(scene, "skip", held.ts, "reason for a skip")
    await _gives_a_reason(scene, "take_over", held.ts, "reason for taking over")
    await scene.click(SECOND, "stays_out")
    assert await ended(scene) == "taken over"


def _complaining(place: str, usual: Program | None = None, command: str = "") -> Program:
    """A command that fails and complains; where it is given, only when it is called so, and else as usual."""

    def program(call: Call) -> Any:
        if usual and " ".join(call.args) != command:
            return usual(call)
        return failed(1, f"bob:{SECRETS[place]}:1000:1000")

    return program


async def _gives_a_reason(scene: Scene, action: str, ts: str, place: str) -> None:
    seen = len(scene.slack.views)
    message = next(one for one in scene.thread if one.ts == ts)
    await scene.slack.click(SECOND, message, action)
    await scene.slack.until(lambda: len(scene.slack.views) > seen)
    said = {"reason": {"reason": f"its password: {SECRETS[place]}"}}
    await scene.slack.submit(SECOND, scene.slack.views[-1], said)
    await scene.slack.until(lambda: "its password" in str([one.blocks for one in scene.thread[-2:]]))


async def _came_out(scene: Scene) -> dict[str, str]:
    slack, run = scene.slack, scene.run
    wrong = scene.folder / "wrong.toml"
    wrong.write_text(
        scene.settings.read_text().replace("[bot]", f'[bot]\npassword = "{SECRETS["settings"]}"\n', 1)
        + f'\n[x]\njournal = "postgresql://u:{SECRETS["settings"]}@db/x"\n'
    )
    config = ("--config", str(scene.settings))
    record, runs, check = await asyncio.gather(
        cli("record", run, *config), cli("runs", *config), cli("check", "--config", str(wrong))
    )
    assert (record.status, runs.status, check.status) == (0, 0, 2)
    messages = [(one.text, one.blocks, [(was.text, was.blocks) for was in one.edits]) for one in slack.messages]
    return {
        "thread": str(messages),
        "answers": str([(one.text, one.blocks) for one in slack.ephemerals]),
        "files": "\n".join(file.text for file in slack.files),
        "journal": "\n".join(_bytes(path) for path in scene.folder.glob("journal.db*")),
        "record": record.out,
        "command line": f"{record.err} {runs} {check}",
    }


def _bytes(path: Path) -> str:
    return path.read_bytes().decode("latin-1")
