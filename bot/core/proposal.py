"""What somebody proposes to bring a backend to: a configuration by name, packages by version; checked as text."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from bot.core.hide import holds_token
from bot.core.newer import Contents
from bot.errors import Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_PACKAGE = re.compile(r"([a-z0-9][a-z0-9+.-]{1,79})=([0-9A-Za-z][0-9A-Za-z.+:~-]{0,99})")
_MANY = 20


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A proposed /etc/dovecot: its name, and the digest of all of it (its tree's, see readings.tree_digest, and its
    manifest's).

    `contents`: the digest of its files and links without their modes; `owners`: its manifest, see core/ownership.py;
    `files`: what its files and links hold, and since when.
    """

    name: str
    digest: str
    contents: str = ""
    owners: str = ""
    files: Contents = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class PackageChange:
    """A package and the version it is to have, as apt writes it: NAME=VERSION."""

    name: str
    version: str

    def __str__(self) -> str:
        return f"{self.name}={self.version}"


def config_name(text: str) -> str:
    """The name of a proposed configuration, one plain folder name; raises Refused for anything else."""
    if not _NAME.fullmatch(text) or ".." in text:
        raise Refused(f"config={text!r} is not a name: letters, digits, dot, dash and underscore, no path.")
    return text


def packages(text: str) -> tuple[PackageChange, ...]:
    """NAME=VERSION,NAME=VERSION,… as typed; raises Refused, naming the part that is wrong."""
    changes = []
    for part in text.split(","):
        found = _PACKAGE.fullmatch(part)
        if not found:
            raise Refused(f"packages= takes NAME=VERSION,…; this is none: {part!r}.")
        changes.append(PackageChange(name=found[1], version=found[2]))
    names = [change.name for change in changes]
    if len(set(names)) < len(names):
        raise Refused("packages= names a package twice.")
    if len(names) > _MANY:
        raise Refused(f"packages= takes at most {_MANY} packages.")
    return tuple(changes)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What somebody typed after the slash command, checked as text only."""

    backend: str
    config: str | None = None
    packages: tuple[PackageChange, ...] = ()


_BACKEND = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")


def read_request(text: str) -> Asked:
    """`BACKEND [config=NAME] [packages=NAME=VERSION,…]`; raises Refused, saying what is wrong and what is right."""
    words = text.split()
    if holds_token(text):
        raise Refused("What you typed holds what looks like a token. It is not kept; nothing was begun.")
    if not words:
        raise Refused("Which backend? BACKEND [config=NAME] [packages=NAME=VERSION,…]")
    backend, *options = words
    if not _BACKEND.fullmatch(backend):
        raise Refused(f"{backend!r} is not the name of a backend.")
    given: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if key not in {"config", "packages"} or not equals or not value:
            raise Refused(f"{option!r} is not understood. BACKEND [config=NAME] [packages=NAME=VERSION,…]")
        if key in given:
            raise Refused(f"{key}= is given twice.")
        given[key] = value
    return Asked(
        backend=backend,
        config=config_name(given["config"]) if "config" in given else None,
        packages=packages(given["packages"]) if "packages" in given else (),
    )
