"""What apt and dpkg say before a package is changed: what is installed, what is offered, what would keep apt from it.

Pure readings of their answers, as in outputs.py. Formats: apt 2.6 and dpkg 1.21, of Debian 12.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from bot.core.hosts.command import Result
from bot.core.hosts.inventory import Target
from bot.core.plans.proposal import PackageChange
from bot.core.readings.outputs import Asks, Reading, version_key
from bot.errors import Unreadable

LISTS_AGE = 'date +%s; find /var/lib/apt/lists -maxdepth 1 -name "*Release" -printf "%C@\\n"'
"""The host's clock, then when each source's list was last fetched: apt sets a list's mtime to what its server says, so
it is when the file came into its place that counts.
"""

FREE = ("df", "--portability", "--block-size=1M")


# what is installed and offered, and what apt would do


def dovecot_packages(_target: Target, _asks: Asks, result: Result) -> Reading:
    """Every installed package of Dovecot's, as NAME=VERSION; a host without dpkg has none that could be compared."""
    if result.exit_status == _NO_SUCH_COMMAND:
        return {"installed": "not known, as there is no dpkg"}
    rows = (line.split("\t") for line in result.stdout.splitlines())
    states = {f"{row[0]}={row[1]}": row[2] for row in rows if len(row) == 3 and row[2] not in _ABSENT}
    if unfinished := [f"{name} is {status}" for name, status in states.items() if status != "installed"]:
        raise Unreadable(f"dpkg has not finished: {'; '.join(unfinished)}. See `dpkg --audit` there")
    installed = list(states)
    if not installed:
        raise Unreadable("dpkg knows no installed package of Dovecot's")
    return {"installed": " ".join(sorted(installed))}


_NO_SUCH_COMMAND = 127
_ABSENT = frozenset({"not-installed", "config-files"})


def specs(asks: Asks) -> list[tuple[str, str]]:
    return [tuple(spec.split("=", 1)) for spec in str(asks["names"]).split()]  # type: ignore[misc]


def names(asks: Asks) -> tuple[str, ...]:
    return tuple(name for name, _ in specs(asks))


def installed_packages(_target: Target, asks: Asks, result: Result) -> Reading:
    rows = dict.fromkeys(names(asks), ("", "not installed"))
    for line in result.stdout.splitlines():
        name, version, status = [*line.split("\t"), "", ""][:3]
        if not re.fullmatch(r"[0-9A-Za-z.+:~-]*", version):
            raise Unreadable(f"no version: {version!r}")
        rows[name] = (version, status)
    odd = [f"{name} is {status}" for name, (_, status) in rows.items() if status != "installed"]
    return {
        "installed": " ".join(f"{name}={version}" for name, (version, _) in rows.items()),
        "status": "; ".join(odd) or "installed",
    }


def offered(_target: Target, asks: Asks, result: Result) -> Reading:
    offered = set()
    for line in result.stdout.splitlines():
        columns = [column.strip() for column in line.split("|")]
        if len(columns) >= 3:
            offered.add((columns[0], columns[1]))
    missing = [f"{name}={version}" for name, version in specs(asks) if (name, version) not in offered]
    dovecot = [version.split(":", 1)[-1] for name, version in specs(asks) if name.startswith("dovecot")]
    return {"missing": ", ".join(missing) or "none", "dovecot": max(dovecot, key=version_key, default="0")}


def package_changes(_target: Target, asks: Asks, result: Result) -> Reading:
    """What apt would do, from its simulation: `Inst NAME [OLD] (NEW …)`, `Inst NAME (NEW …)`, `Remv NAME …`."""
    named = names(asks)
    lines = [line.split() for line in result.stdout.splitlines()]
    installs = [line for line in lines if line[:1] == ["Inst"] and len(line) > 2 and line[1] not in named]
    return {
        "refused": _apts_reason(result) if result.exit_status else "none",
        "removed_too": _listed(
            [line[1] for line in lines if line[:1] == ["Remv"] and len(line) > 1] or _not_removed(result.stdout)
        ),
        "changed_too": _listed(line[1] for line in installs if line[2].startswith("[")),
        "added_too": _listed(line[1] for line in installs if not line[2].startswith("[")),
    }


def _not_removed(text: str) -> list[str]:
    """What apt would have to remove, where it may not: it says so in a paragraph of its own."""
    found = re.search(r"^The following packages will be REMOVED:\n((?:  .*\n)+)", text, re.MULTILINE)
    return found[1].split() if found else []


def _apts_reason(result: Result) -> str:
    unmet = [line for line in result.stdout.splitlines() if " : " in line]
    errors = [line for line in result.stderr.splitlines() if line.startswith("E: ")]
    if not errors:
        raise Unreadable(f"apt exited with {result.exit_status} and gave no reason")
    return "; ".join(" ".join(line.split()) for line in (*errors, *unmet))


def _listed(found: Iterable[str]) -> str:
    return ", ".join(sorted(found)) or "none"


# which version apt would bring a package to


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """What apt would install in the place of what is installed; `higher`: it is a newer version than that."""

    name: str
    installed: str
    candidate: str
    higher: bool


def offers(text: str) -> tuple[Candidate, ...]:
    """The answer of `apt-cache policy NAME…`; raises Unreadable for what is none."""
    return tuple(_offer(name, body) for name, body in _blocks(text))


def _blocks(text: str) -> Iterator[tuple[str, list[str]]]:
    name, body = "", list[str]()
    for line in [*text.splitlines(), "end:"]:
        if line[:1].isspace():
            body.append(line)
            continue
        if name:
            yield name, body
        if not re.fullmatch(r"[a-z0-9][a-z0-9+.:-]*:", line):
            raise Unreadable(f"apt-cache policy says what is not understood: {line!r}")
        name, body = line.removesuffix(":"), []


_VERSION = re.compile(r"^ (?:\*\*\*|   ) (\S+) -?\d+(?: \(.*\))?$")
"""A row of the version table, which apt sorts from the newest version to the oldest."""


_NONE = "(none)"


def _offer(name: str, body: list[str]) -> Candidate:
    fields = dict(line.strip().split(": ", 1) for line in body if ": " in line)
    table = [found[1] for line in body if (found := _VERSION.match(line))]
    installed, candidate = fields.get("Installed", ""), fields.get("Candidate", "")
    if not installed or not candidate:
        raise Unreadable(f"apt-cache policy does not say what is installed and offered of {name}")
    if candidate == _NONE:
        return Candidate(name=name, installed=installed, candidate=candidate, higher=False)
    if missing := [version for version in (installed, candidate) if version not in table]:
        raise Unreadable(f"apt-cache policy has no row for {name} {missing[0]} that is understood")
    higher = table.index(candidate) < table.index(installed)
    return Candidate(name=name, installed=installed, candidate=candidate, higher=higher)


def _upgrades(installed: str, text: str) -> tuple[PackageChange, ...]:
    """Every installed package (NAME=VERSION …) with the version that apt would bring it to: its own where that is not
    newer.
    """
    offered = {offer.name: offer for offer in offers(text)}
    return tuple(_upgrade(one, offered.get(one.name)) for one in as_changes(installed))


def _upgrade(now: PackageChange, offer: Candidate | None) -> PackageChange:
    if offer is None or offer.installed != now.version:
        raise Unreadable(f"apt-cache policy and dpkg do not agree on which {now.name} is installed")
    return replace(now, version=offer.candidate if offer.higher else now.version, before=now.version)


def candidates(_target: Target, asks: Asks, result: Result) -> Reading:
    """What apt would bring the packages to (NAME=VERSION …), and which of them to no newer version."""
    found = _upgrades(str(asks["names"]), result.stdout)
    same = [one.name for one in found if one.version == one.before]
    return {"candidates": " ".join(map(str, found)), "unchanged": ", ".join(same) or "none"}


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another in dpkg's order: see deb-version(7)."""
    return _order(version) < _order(than)


_Order = list[tuple[tuple[int, ...], int]]


def _order(version: str) -> tuple[int, _Order, _Order]:
    epoch, colon, rest = version.partition(":") if ":" in version else ("", "", version)
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return int(epoch) if colon and epoch.isdecimal() else 0, _parts(upstream), _parts(revision or "0")


def _parts(text: str) -> _Order:
    """Words and numbers in turn; in a word, a tilde comes before its end, and letters before what else there is."""
    found = re.findall(r"(\D*)(\d*)", text)
    return [((*map(_rank, word), 0), int(number or 0)) for word, number in found]


def _rank(character: str) -> int:
    if character == "~":
        return -1
    return ord(character) + (0 if character.isalpha() else 256)


def as_changes(text: str) -> tuple[PackageChange, ...]:
    """NAME=VERSION NAME=VERSION … as it is read from a host."""
    return tuple(PackageChange(name=name, version=version) for name, version in specs({"names": text}))


# what would keep apt from it


def manager(_target: Target, _asks: Asks, result: Result) -> Reading:
    """The answer of `apt-get check`: it takes dpkg's locks, and sees what was interrupted."""
    errors = [line.removeprefix("E: ").strip() for line in result.stderr.splitlines() if line.startswith("E: ")]
    return {"state": "; ".join(errors) if result.exit_status else "ready"}


def free(_target: Target, asks: Asks, result: Result) -> Reading:
    """The row of `df --portability`: Filesystem 1048576-blocks Used Available Capacity Mounted."""
    rows = result.stdout.splitlines()[1:]
    found = (
        re.search(r" ([0-9]+) +[0-9]+% +/", rows[0]) if len(rows) == 1 else None
    )  # a filesystem's name may have spaces
    if found is None:
        raise Unreadable(f"df does not say what is free on {asks['path']}")
    return {"free_mib": int(found[1])}


_HOUR = 3600


def lists_age(_target: Target, asks: Asks, result: Result) -> Reading:
    """How old the oldest of the host's package lists is, in whole hours, by its own clock."""
    now, *fetched = [line.partition(".")[0] for line in result.stdout.split()] or [""]
    if not all(one.isascii() and one.isdigit() for one in (now, *fetched)):
        raise Unreadable("the ages of the package lists cannot be read")
    if not fetched:
        return {"hours": 0, "old": _NO_LISTS}
    hours = max(0, int(now) - min(map(int, fetched))) // _HOUR
    limit = int(str(asks["hours_allowed"]))
    old = f"{_OLD_LISTS} {hours} hours old, and less than {limit} are usual; {_SINCE}" if hours >= limit else "no"
    return {"hours": hours, "old": old}


_UPDATE = "run `apt-get update` there"
_NO_LISTS = f"no package lists, so apt offers nothing: {_UPDATE}"
_OLD_LISTS = "old package lists:"
_SINCE = f"what was released since is not known there: {_UPDATE}"


def lists_in_words(reading: Reading) -> str:
    """How old the package lists are, as people read it."""
    if reading["old"] != "no":
        return str(reading["old"])
    hours = reading["hours"]
    return f"package lists {f'{hours} hour' + 's' * (hours != 1) if hours else 'less than an hour'} old"


def to_go_back_to(target: Target, asks: Asks, result: Result) -> Reading:
    """The same, of the packages that were installed before."""
    missing = downloaded(target, asks, result)["missing"]
    if missing == "none":
        return {"way_back": "there"}
    return {"way_back": f"{_NO_WAY_BACK}: {missing} is not there; only a mirror that still has it could bring it"}


_NO_WAY_BACK = "no way back for the packages"
_ALARMS = (_NO_WAY_BACK, _OLD_LISTS, _NO_LISTS)


def way_back_in_words(reading: Reading) -> str:
    """Whether the packages of before are there, as people read it."""
    return f"the packages of before: {reading['way_back']}"


def alarm(line: str) -> bool:
    """Whether a line of evidence holds nobody up, and is nothing that who approves should overlook."""
    return any(one in line for one in _ALARMS)


def downloaded(_target: Target, asks: Asks, result: Result) -> Reading:
    """Which packages a folder has not: apt's file names are NAME_VERSION_ARCHITECTURE.deb, a colon written %3a."""
    there = {tuple(line.replace("%3a", ":").split("_")[:2]) for line in result.stdout.splitlines()}
    missing = [f"{name}={version}" for name, version in specs(asks) if (name, version) not in there]
    return {"missing": ", ".join(missing) or "none"}
