"""A ring as the bot's settings describe it, and what could be proposed for its backends.

It knows nothing of Slack, nor of a bot that runs.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.practice.machine.files import Directory, Disk, File, Link
from bot.practice.ring.ring import PracticeRing

CONFIG = "review-2026-11"
PACKAGES = ",".join(f"dovecot-{name}=1:2.3.19.1+dfsg1-2.1+deb12u7" for name in ("core", "imapd", "lmtpd"))


@dataclass(frozen=True, kw_only=True)
class Site:
    """A ring as the settings describe it; `backends` are names with their addresses."""

    directors: tuple[str, ...]
    backends: Mapping[str, str]
    ssh_config: Path
    known_hosts: Path
    test_user: str
    metacache: bool = True
    take_down: str = ""
    proposed: str = ""


def practice_site(ring: PracticeRing, *, metacache: bool = True, take_down: str = "", proposed: str = "") -> Site:
    """The practice ring as a site."""
    return Site(
        proposed=proposed,
        metacache=metacache,
        take_down=take_down,
        directors=tuple(ring.directors),
        backends={name: host.ip for name, host in ring.backends.items()},
        ssh_config=ring.ssh_config,
        known_hosts=ring.known_hosts,
        test_user=ring.test_user,
    )


def settings_of(site: Site, channel: str, group: str, more: Mapping[str, str]) -> str:
    """The settings of a bot for this ring, as TOML; `more` are some of its own part."""
    lines = ["[bot]", 'journal = "journal.db"', 'configs = "configs"']
    lines += [f"{key} = {json.dumps(value)}" for key, value in more.items()]
    lines += ["[slack]", f'channels = ["{channel}"]']
    lines += ["[people]", f'requesters = {{usergroup = "{group}"}}', f'approvers = {{usergroup = "{group}"}}']
    lines += ["[ssh]", f"config = {json.dumps(str(site.ssh_config))}"]
    lines += [f"known_hosts = {json.dumps(str(site.known_hosts))}"]
    lines += ["[[rings]]", 'name = "practice"', f'test_user = "{site.test_user}"']
    lines += ["metacache = {}"] if site.metacache else []
    lines += [f'take_down = "{site.take_down}"'] if site.take_down else []
    lines += [f'proposed = "{site.proposed}"'] if site.proposed else []
    lines += ["directors = [", *(f'    {{name = "{name}", sudo = true}},' for name in site.directors), "]"]
    lines += ["backends = ["]
    lines += [f'    {{name = "{name}", ip = "{ip}", sudo = true}},' for name, ip in site.backends.items()]
    return "\n".join([*lines, "]", ""])


def propose(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write a proposed configuration: its files by their path in it."""
    for path, content in files.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        target.chmod(0o644)


def copy_config(disk: Disk, folder: Path) -> None:
    """Copy the configuration that is in place to a folder that is new, or empty."""
    for path, node in disk.tree("/etc/dovecot"):
        copy = folder / path.removeprefix("/etc/dovecot").lstrip("/")
        match node:
            case Directory():
                copy.mkdir(parents=True, exist_ok=True)
            case Link(target=target):
                copy.symlink_to(target)
            case File(data=data, changed=changed):
                copy.write_bytes(data)
                copy.chmod(0o644)
                os.utime(copy, (changed.timestamp(),) * 2)


def propose_a_small_change(folder: Path, disk: Disk) -> None:
    """Propose what is in place, with one setting changed and one file added."""
    copy_config(disk, folder)
    path = "conf.d/90-metacache.conf"
    propose(folder, {path: _larger((folder / path).read_bytes()), **_ADDED})


def reviewed_config(ring: PracticeRing) -> dict[str, bytes]:
    """The backend's own configuration with two things changed, as a config review would leave it."""
    disk = ring.backends["backend-3"].disk
    names = ("dovecot.conf", "local.conf", "conf.d/10-mail.conf", "conf.d/90-metacache.conf")
    return {name: _larger(disk.read(f"/etc/dovecot/{name}") or b"") for name in names} | _ADDED


_ADDED = {"conf.d/20-imap.conf": b"mail_max_userip_connections = 20\n"}


def _larger(data: bytes) -> bytes:
    return data.replace(b"metacache_max_space = 200G", b"metacache_max_space = 400G")
