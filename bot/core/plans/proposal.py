"""What people type behind a slash command: a backend, what it is to be brought to, and why; checked as text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from bot.core.plans.newer import Contents
from bot.core.text.meant import near
from bot.core.text.redact import holds_token, redact
from bot.core.text.shown import in_line
from bot.errors import Refused

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_PACKAGE = re.compile(r"([a-z0-9][a-z0-9+.-]{1,79})=([0-9A-Za-z][0-9A-Za-z.+:~-]{0,99})")
_MANY = 20

KEEP = "keep"
"""Typed for a configuration or packages: they stay as they are. No proposed configuration has this name."""


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """A proposed /etc/dovecot: its name, and the digest of all of it (its tree's, see trees.tree_digest, and its
    manifest's).

    `contents`: the digest of its files and links without their modes; `owners`: its manifest, see
    core/readings/ownership.py; `files`: what its files and links hold, and since when.
    """

    name: str
    digest: str
    contents: str = ""
    owners: str = ""
    files: Contents = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class PackageChange:
    """A package and the version it is to have, as apt writes it: NAME=VERSION. `before`: the version that it has."""

    name: str
    version: str
    before: str = ""

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
    """What somebody typed after the slash command, checked as text only.

    Where no configuration or packages are named, `keeps_config` and `keeps_packages` say that they are to stay as they
    are; `restart` is for both, and dovecot is restarted all the same. `reason` and `ticket` are in a line, without
    secrets; `text` is what was typed but for these two.
    """

    backend: str
    config: str | None = None
    keeps_config: bool = False
    packages: tuple[PackageChange, ...] = ()
    keeps_packages: bool = False
    restart: bool = False
    reason: str = ""
    ticket: str = ""
    text: str = field(default="", repr=False)


USAGE = 'BACKEND [config=NAME|keep] [packages=NAME=VERSION,…|keep] [restart=yes] [reason="…"] [ticket=…]'
FORMS = {
    "config": "config=NAME or config=keep",
    "packages": "packages=NAME=VERSION,… or packages=keep",
    "restart": "restart=yes",
    "reason": 'reason="…"',
    "ticket": "ticket=…",
}
"""How each option is typed."""

_BACKEND = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
"""Capital letters too, though no backend has any: the inventory says which one was meant."""

_MOST = {"reason": 300, "ticket": 80}
"""Characters of what others will read."""

_CLOSES = {
    '"': '"”',
    "“": '”"“',
    "”": '”"',
    "„": '“”"',
    "«": "»",
    "»": "«",
    "'": "'’",
    "‘": "’'",
    "’": "’'",
    "‚": "‘’'",
}
"""Quotes as keyboards and phones write them: what each one is closed by, before a space or the end."""

_QUOTED = re.compile(rf"(reason|ticket)=([{''.join(_CLOSES)}])")
_WORD = re.compile(r"\S+")


def as_typed(key: str, text: str) -> str:
    """A reason or a ticket as it would be typed behind its name, whatever is in it; empty where it is."""
    line = in_line(text)
    if not line:
        return ""
    for opens, closers in _CLOSES.items():
        if not set(closers) & set(line):
            return f"{key}={opens}{line}{closers[0]}"
    opens, closers = next(iter(_CLOSES.items()))
    return f"{key}={opens}{''.join(one for one in line if one not in closers)}{closers[0]}"


def read_request(text: str) -> Asked:
    """See USAGE; raises Refused, saying what is wrong and what is right."""
    if holds_token(text):
        raise Refused("What you typed holds what looks like a token. It is not kept; nothing was begun.")
    backend, *options = tuple(_words(text)) or ("",)
    if not backend:
        raise Refused(f"Which backend? {USAGE}")
    if not _BACKEND.fullmatch(backend):
        raise Refused(f"{backend!r} is not the name of a backend, which comes first: {USAGE}")
    given = _given(options)
    config, versions = given.get("config", KEEP), given.get("packages", KEEP)
    asked = Asked(
        backend=backend,
        config=None if config == KEEP else config_name(config),
        keeps_config="config" in given and config == KEEP,
        packages=() if versions == KEEP else packages(versions),
        keeps_packages="packages" in given and versions == KEEP,
        reason=_readable("reason", given.get("reason", "")),
        ticket=_readable("ticket", given.get("ticket", "")),
        text=" ".join([backend, *(f"{key}={value}" for key, value in given.items() if key not in _MOST)]),
    )
    return _restarts(asked) if "restart" in given else asked


def _restarts(asked: Asked) -> Asked:
    if asked.config or asked.packages:
        raise Refused(
            "restart=yes changes neither packages nor the configuration: leave it out, or leave out what changes them."
        )
    return replace(asked, restart=True, keeps_config=True, keeps_packages=True)


def _words(text: str) -> Iterator[str]:
    """The words as they were typed; what stands in quotes behind reason= or ticket= is one, without its quotes."""
    at = 0
    while found := _WORD.search(text, at):
        word, at = found[0], found.end()
        if quoted := _QUOTED.match(word):
            begin = found.start() + quoted.end()
            end = re.compile(rf"[{_CLOSES[quoted[2]]}](?=\s|$)").search(text, begin)
            if end is None:
                raise Refused(f"The quote behind {quoted[1]} is not closed: {FORMS[quoted[1]]}")
            word, at = f"{quoted[1]}={text[begin : end.start()]}", end.end()
        yield word


def _given(options: list[str]) -> dict[str, str]:
    given: dict[str, str] = {}
    for option in options:
        key, _, value = option.partition("=")
        if key not in FORMS or not value.strip():
            raise Refused(_misread(option, next(reversed(given), "")))
        if key in given:
            raise Refused(f"{key} is given twice.")
        given[key] = value
    if given.get("restart", "yes") != "yes":
        raise Refused("restart= takes nothing but yes; leave it out where dovecot is not to be restarted for itself.")
    return given


def _misread(option: str, before: str) -> str:
    """What is wrong with a word that is no option, behind another one."""
    key, equals, _ = option.partition("=")
    if key in FORMS:
        return f"{key} needs its value right behind it: {FORMS[key]}"
    if meant := near(key, FORMS):
        return f"{option!r} is not understood. Did you mean {FORMS[meant]}?"
    if before in _MOST and not equals:
        return f'{option!r} is not understood. Several words stand in quotes: {before}="…"'
    return f"{option!r} is not understood. {USAGE}"


def _readable(key: str, value: str) -> str:
    """A reason or a ticket as it is kept."""
    line = in_line(value)
    if value and not line:
        raise Refused(f"{key} holds nothing that can be read: {FORMS[key]}")
    if len(line) > _MOST[key]:
        raise Refused(f"{key} has {len(line)} characters; {_MOST[key]} at most are kept.")
    return redact(line)
