"""Who a host is: what it answered over a connection, and whether that proves it.

A name in the settings, in the SSH configuration and in the ring are three claims. The host itself says that they are
one, on the connection that a change then goes over.
"""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from datetime import timedelta

from bot.core.hosts.command import Command, Result
from bot.core.hosts.inventory import Backend, Host
from bot.core.text.redact import redact
from bot.errors import Unreadable

_SCRIPT = (
    'echo "$SSH_CONNECTION"; cat /etc/machine-id /proc/sys/kernel/random/boot_id;'
    " PATH=$PATH:/usr/sbin:/sbin ip -json address 2>/dev/null || echo '[]'"
)

QUESTION = Command(argv=("sh", "-c", _SCRIPT), root=False, timeout=timedelta(seconds=10), ahead=True)
"""Asked once per connection, before the first change goes over it."""


_ANEW = "; the settings are read when the bot is started"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What a host answered when it was asked who it is. `connection` names the connection, and no other one ever.

    `reached` is the host's own address of that connection, empty where sshd does not say it; `addresses` are those of
    its interfaces. `boot_id` changes with every boot.
    """

    connection: str
    reached: str
    addresses: frozenset[str]
    machine_id: str
    boot_id: str


def read_identity(connection: str, result: Result) -> Identity:
    """The answer to QUESTION; raises Unreadable for anything else."""
    lines = result.stdout.splitlines()
    if len(lines) < 4 or not re.fullmatch(r"[0-9a-f]{32}", lines[1]) or not re.fullmatch(r"[0-9a-f-]{36}", lines[2]):
        raise Unreadable(
            f"{result.host} does not say who it is: {redact(result.stdout)[:200]!r} {redact(result.stderr)[:200]!r}"
        )
    client, *server = lines[0].split()[::2] or [""]
    del client
    return Identity(
        connection=connection,
        reached=_plain(server[0]) if server else "",
        addresses=frozenset(_addresses("\n".join(lines[3:]))),
        machine_id=lines[1],
        boot_id=lines[2],
    )


def _addresses(text: str) -> set[str]:
    try:
        return {_plain(one["local"]) for interface in json.loads(text) for one in interface.get("addr_info", ())}
    except (ValueError, KeyError, TypeError, AttributeError):
        return set()  # it proves nothing then


def _plain(address: str) -> str:
    """One writing per address; an IPv4 address that sshd writes as IPv6 is the IPv4 address."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)


def not_proved_to_be(host: Host, identity: Identity) -> str:
    """Why this is not proved to be that host of the settings, empty when it is; says both ways to mend it."""
    if host.machine_id:
        if host.machine_id == identity.machine_id:
            return ""
        return (
            f"{host.name} is another machine: its machine-id is {identity.machine_id}, and has to be"
            f" {host.machine_id}, as the settings say or as it was when the run began. Nothing is changed there."
            f" What to do: correct `ssh` of {host.name} (or its HostName in the SSH config), or `machine_id` in the"
            f" settings, which leads no run away from the machine on which it began{_ANEW}"
        )
    if not isinstance(host, Backend) or str(host.ip) in {identity.reached, *identity.addresses}:
        return ""
    has = ", ".join(sorted({identity.reached, *identity.addresses} - {""})) or "no address that could be read"
    return (
        f"the host that `ssh {host.address}` reaches does not prove to be {host.name}: it has {has}, and the directors"
        f" know {host.name} as {host.ip}. Nothing is changed there. What to do: correct `ssh` of {host.name}"
        f" (or its HostName in the SSH config); where its address is translated on the way, set `machine_id ="
        f' "{identity.machine_id}"` once you have seen that this is {host.name}{_ANEW}. Another `ip` counts for runs'
        " that are asked for from then on"
    )
