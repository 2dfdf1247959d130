"""The pure reading of what a host answered: text of doveadm, doveconf and systemctl into values.

An answer that is not one raises Unreadable: nothing is ever concluded from a silence. Formats: Dovecot 2.3 and systemd
of Debian 12, recorded in tests/unit/core/recorded. Which command asks for it is in probes.py, and with which exit
statuses it answers; a reading sees no other. Of dpkg and apt: packages.py; of find: trees.py.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from contextlib import suppress

from bot.core.hosts.command import Result
from bot.core.hosts.inventory import Target
from bot.core.plans.plan import Value
from bot.core.readings.difference import difference
from bot.errors import Unreadable

Reading = Mapping[str, str | int | bool]
Asks = Mapping[str, Value]

Exits = Mapping[int, str]
"""By exit status, what a line of the complaint that goes with it begins with, as a regular expression."""


def own_answer(result: Result, exits: Exits, *, counts: bool = False) -> None:
    """Raises Unreadable for an exit that is not the command's own, and for an answer of which a part is missing.

    sudo, sshd and a shell that did not get so far exit with 1, too: it counts only with what the command itself prints.
    `counts`: what is printed is no part of what is read.
    """
    if result.cut_short and not counts:
        raise Unreadable(f"the answer is too long: {result.stdout_bytes} bytes, of which {result.kept} are kept")
    status, output = result.exit_status, result.stderr or result.stdout
    begins = exits.get(status) if status else ""
    silent = status == 1 and not output.strip()
    if begins is None or silent or (begins and not any(re.match(begins, line) for line in output.splitlines())):
        raise no_answer(result)


_NAMED = 100


def no_answer(result: Result) -> Unreadable:
    """The error for an exit that is none, with what was printed; a script is named by how it begins."""
    command = result.command if len(result.command) <= _NAMED else f"{result.command[:_NAMED]}…"
    return Unreadable(f"`{command}` exited with {result.exit_status}: {result.complaint or 'it says nothing'}")


# directors


def _table(text: str, needed: set[str]) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line]
    rows = list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))
    if not lines or not needed <= set(lines[0].split("\t")):
        raise Unreadable(f"no table with the columns {', '.join(sorted(needed))}")
    return rows


def _count(row: Mapping[str, str], column: str) -> int:
    text = row[column] or ""
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Unreadable(f"column {column} is not a number: {text!r}")
    return int(text)


def director_hosts(target: Target, _asks: Asks, result: Result) -> Reading:
    rows = _table(result.stdout, {"mail server ip", "vhosts", "state", "users"})
    by_ip = {row["mail server ip"]: row for row in rows}
    own = by_ip.get(str(target.backend.ip))
    if own is None:
        raise Unreadable(f"{target.backend.name} ({target.backend.ip}) is not on this director's list")
    others = [row for row in rows if row is not own and _tag(row) == _tag(own)]
    usable = sum(1 for row in others if row["state"] == "up" and _count(row, "vhosts") > 0)
    return {
        "vhosts": _count(own, "vhosts"),
        "state": own["state"] or "",
        "users": _count(own, "users"),
        "usable_others": usable,
        "others": _others(target, by_ip),
        "stranded": 0 if usable else _count(own, "users"),
    }


def listed_hosts(result: Result) -> dict[str, Reading]:
    """How a director has each backend of its list, by address: what is read once, where many are to be shown.

    Nothing is judged by it; a row that does not say how its backend is is left out.
    """
    own_answer(result, {})
    found: dict[str, Reading] = {}
    for row in _table(result.stdout, {"mail server ip", "vhosts", "state", "users"}):
        with suppress(Unreadable):
            counts = {"vhosts": _count(row, "vhosts"), "users": _count(row, "users")}
            found[row["mail server ip"]] = {"state": row["state"] or "", **counts}
    return found


def _tag(row: Mapping[str, str]) -> str:
    return f"tag {row['tag']}" if row.get("tag") else "no tag"


def _others(target: Target, by_ip: Mapping[str, Mapping[str, str]]) -> str:
    """`as usual`, or what is not: each other backend of the inventory up with its vhosts, and no unknown one.

    Backends of another tag belong to another ring of the settings: users are never mapped from one tag to another.
    """
    remarks = []
    known = {str(backend.ip): backend for backend in target.ring.backends}
    tag = _tag(by_ip[str(target.backend.ip)])
    for ip, backend in known.items():
        row = by_ip.get(ip)
        if ip == str(target.backend.ip):
            continue
        if row is None:
            remarks.append(f"{backend.name} is not on the list")
        elif _tag(row) != tag:
            remarks.append(f"{backend.name} has {_tag(row)} and {target.backend.name} {tag}")
        elif row["state"] != "up" or _count(row, "vhosts") != backend.vhosts:
            remarks.append(f"{backend.name} is {row['state']} with vhosts {row['vhosts']}")
    strangers = (ip for ip, row in by_ip.items() if ip not in known and _tag(row) == tag)
    remarks += [f"{ip} is on the list but was not in the settings when this was asked for" for ip in strangers]
    return "; ".join(remarks) or "as usual"


def director_ring(target: Target, _asks: Asks, result: Result) -> Reading:
    rows = _table(result.stdout, {"director ip", "port", "type", "status"})
    own = [row for row in rows if row["type"] == "self"]
    if len(own) != 1:
        raise Unreadable("the ring status has no row of the director itself")
    members = sorted({_member(row) for row in rows})
    remarks = [own[0]["status"] or "no status"]
    away = sorted({row["director ip"] for row in rows if _is_away(row, len(members))})
    remarks += [f"{', '.join(away)} away"] if away else []
    known = len(target.ring.directors)
    remarks += [f"{len(members)} directors, this was asked for with {known}"] if len(members) != known else []
    return {
        "synced": remarks == ["ring synced"],
        "status": "; ".join(remarks),
        "directors": len(members),
        "self": _member(own[0]),
        "members": " ".join(members),
    }


def _member(row: Mapping[str, str]) -> str:
    """A director by what its ring calls it: IP:PORT."""
    ip, port = row["director ip"], row["port"]
    if not ip or not port:
        raise Unreadable("the ring status has a row without its address")
    return f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}"


_ALL_ARE_NEIGHBOURS = 3


def _is_away(row: Mapping[str, str], members: int) -> bool:
    """In a small ring everybody is left or right of oneself; in a larger one only a failure shows it."""
    return not row["type"] and (members <= _ALL_ARE_NEIGHBOURS or row.get("last failed", "never") != "never")


# dovecot


def dovecot_version(_target: Target, _asks: Asks, result: Result) -> Reading:
    found = re.match(r"(\d+\.\d+(?:\.\d+)*)", result.stdout)
    if not found:
        raise Unreadable(f"no version in {result.stdout[:80]!r}")
    return {"version": found[1]}


def version_key(version: str) -> tuple[int, ...]:
    """The leading numbers of a version, for comparing: 2.3.19.1 gives (2, 3, 19, 1)."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def service(_target: Target, asks: Asks, result: Result) -> Reading:
    try:
        rows = json.loads(result.stdout)
        row = next(row for row in rows if row["name"] == asks["name"])
        stopped = str(row["doveadm_stop"])
        processes = int(row["process_count"])
    except (ValueError, KeyError, TypeError, StopIteration):
        raise Unreadable(f"no status of service {asks['name']} in the answer") from None
    if stopped not in {"y", "n"}:
        raise Unreadable(f"doveadm_stop is neither y nor n: {stopped!r}")
    # `listening` is the master's own: n as well while a waiting process listens in its place. It proves nothing.
    return {"stopped": stopped == "y", "processes": processes}


def config_parses(_target: Target, _asks: Asks, result: Result) -> Reading:
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    return {"parses": result.exit_status == 0, "said": lines[-1][:300] if lines and result.exit_status else ""}


def mailbox_status(_target: Target, _asks: Asks, result: Result) -> Reading:
    counts = re.findall(r"^.+ messages=(\d+)\s*$", result.stdout, re.MULTILINE)
    if not counts:
        raise Unreadable("no folder in the answer")
    return {"folders": len(counts), "messages": sum(int(count) for count in counts)}


def mailbox_list(_target: Target, _asks: Asks, result: Result) -> Reading:
    return {"folders": sum(1 for line in result.stdout.splitlines() if line.strip())}


def fetched_mail(_target: Target, _asks: Asks, result: Result) -> Reading:
    return {"bytes": result.stdout_bytes}


def greeting(_target: Target, _asks: Asks, result: Result) -> Reading:
    line = result.stdout.strip()
    return {
        "greets": result.exit_status == 0 and bool(re.match(r"\* (OK|PREAUTH)\b|220\b", line)),
        "said": line[:120],
    }


# the host


def unit(_target: Target, _asks: Asks, result: Result) -> Reading:
    values = dict(line.split("=", 1) for line in result.stdout.splitlines() if "=" in line)
    try:
        return {
            "load": values["LoadState"],
            "active": values["ActiveState"],
            "result": values["Result"],
            "enabled": values["UnitFileState"],
        }
    except KeyError as error:
        raise Unreadable(f"systemctl show did not say {error.args[0]}") from None


def metacache_flush(_target: Target, asks: Asks, result: Result) -> Reading:
    """Dovecot, and the unit that flushes its metacache: whether a stop would be a flush now, and whether one was.

    `invocation`: systemd's id of dovecot's last start, which it keeps while dovecot is stopped.
    """
    blocks = [
        dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        for block in result.stdout.strip().split("\n\n")
    ]
    try:
        states = [tuple(block[key] for key in _FLUSH_STATES) for block in blocks]
        (own, _, dovecot, ended, _), (other, load, unit, flush, enabled) = states
    except (KeyError, ValueError):
        raise Unreadable(f"systemctl show did not say how dovecot and {asks['unit']} are") from None
    if own == other:
        raise Unreadable(f"{asks['unit']} is dovecot's own unit ({own}), and each of its stops would look like a flush")
    # Disabled in the moment between this look and the stop, it is inactive afterwards too, and has flushed nothing.
    there = load == "loaded" and enabled not in {"", "disabled", "masked", "masked-runtime", "bad"}
    flushed = there and (dovecot, ended, unit, flush) == ("inactive", "success", "inactive", "success")
    text = f"dovecot is {dovecot} ({ended}), {asks['unit']} is {unit} ({flush}, {enabled or 'in no state'})"
    ready = there and unit == "active"
    invocation = blocks[0].get("InvocationID", "")
    return {"ready": ready, "flushed": flushed, "dovecot": dovecot, "invocation": invocation, "said": text}


_FLUSH_STATES = ("Id", "LoadState", "ActiveState", "Result", "UnitFileState")


def config_difference(_target: Target, asks: Asks, result: Result) -> Reading:
    found = difference(str(asks["path"]), str(asks["to"]), result)
    counts = {how: found.count(how) for how in ("changed", "added", "removed")}
    shown = {"lines": f"+{found.plus} -{found.minus}", "newer": found.newer}
    return {"changed_lines": found.plus + found.minus, **counts, **shown}


def shown_difference(asks: Asks, result: Result) -> tuple[str, str]:
    found = difference(str(asks["path"]), str(asks["to"]), result)
    return found.listed, found.whole
