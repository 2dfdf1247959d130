"""What a command does to mail, read from its literal text alone: nothing that a procedure says of it counts.

The gates and the guards are read from this, so that no procedure and no stored plan is without them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache


class Effect(StrEnum):
    """What a change does, as far as users feel it or another step relies on it."""

    TAKES_VHOSTS = "takes the vhosts away"
    DOWN = "tells the directors that it is down"
    FLUSH = "moves its users"
    STOP = "stops a service"
    STOP_DOVECOT = "stops dovecot"
    START_DOVECOT = "starts dovecot"
    MASK = "keeps dovecot from being started"
    UNMASK = "lets dovecot be started"
    DELETE = "deletes files"
    RESTORE = "gives it users"
    INSTALL = "installs packages"
    CONFIGURE = "changes the configuration in place"


TAKE_USERS_AWAY = frozenset({Effect.TAKES_VHOSTS, Effect.DOWN, Effect.FLUSH})
"""What is done to the ring before a backend is stopped."""

_END = r"(\s|$|['\";&|)])"
_DOVECOT = r"dovecot(\.service)?(\s|$|['\";&|)])"

_ONLY_FETCHES = r"[^;&|]*\s--download-only\s"

_READ = (
    (r"\bdoveadm\b.*\bdirector\b.*\bupdate\s+\S+\s+0+(\s|$)", Effect.TAKES_VHOSTS),
    (r"\bdoveadm\b.*\bdirector\b.*\bdown\b", Effect.DOWN),
    (r"\bdoveadm\b.*\bflush\b", Effect.FLUSH),
    (
        r"\bsystemctl\b.*\b(stop|kill|\S*restart|disable|isolate|freeze|rescue|emergency|reboot|poweroff|halt|kexec)\b",
        Effect.STOP,
    ),
    (r"\bsystemctl\b(?=.*\s--now\b).*\bmask\b", Effect.STOP),
    (r"\bdeb-systemd-invoke\b.*\s(stop|\S*restart)\b|\bstart-stop-daemon\b.*\s(--stop|-\w*K)\b", Effect.STOP),
    (rf"\b(apt|apt-get|aptitude|dpkg)\s(.*\s)?(-r|-P|(--)?(remove|purge)|auto(remove|purge)){_END}", Effect.STOP),
    (r"\bdoveadm\b.*\b(service\s+stop|stop|kick)\b", Effect.STOP),
    (r"\bdovecot\s+stop\b|\bservice\s+\S+\s+(stop|restart)\b|\binit\.d/\S+\s+(stop|restart)\b", Effect.STOP),
    (rf"(^|[\s;&|('\"/])(pkill|killall|kill|reboot|shutdown|poweroff|halt|(tel)?init\s+\d){_END}", Effect.STOP),
    (r"\b(iptables|ip6tables|nft|ufw|firewall-cmd)\s|\bfuser\s(.*\s)?-\w*k|\bss\s(.*\s)?(-\w*K|--kill)", Effect.STOP),
    (rf"\bsystemctl\b.*\bstop\s(.*\s)?{_DOVECOT}", Effect.STOP_DOVECOT),
    (rf"\bsystemctl\b(?=.*\s--now\b).*\bdisable\s(.*\s)?{_DOVECOT}", Effect.STOP_DOVECOT),
    (r"\bdoveadm\s+(-\S+\s+)*stop\b|\bdovecot\s+stop\b|\bservice\s+dovecot\s+stop\b", Effect.STOP_DOVECOT),
    (rf"\bsystemctl\b.*\b(start|\S*restart)\s(.*\s)?{_DOVECOT}", Effect.START_DOVECOT),
    (rf"\bsystemctl\b(?=.*\s--now\b).*\benable\s(.*\s)?{_DOVECOT}", Effect.START_DOVECOT),
    (r"\bservice\s+dovecot\s+(re)?start\b|\binit\.d/dovecot\s+(re)?start\b", Effect.START_DOVECOT),
    (rf"\bsystemctl\b.*\bmask\s(.*\s)?{_DOVECOT}", Effect.MASK),
    (rf"\bsystemctl\b.*\bunmask\s(.*\s)?{_DOVECOT}", Effect.UNMASK),
    (rf"(^|[^a-z])(rm|unlink|shred){_END}|-delete\b", Effect.DELETE),
    (r"(^|[^a-z])(mv|truncate)\s[^;&|]*/var/(lib/)?dovecot\b", Effect.DELETE),
    (rf"\b(apt|apt-get|aptitude)\s(?!{_ONLY_FETCHES})(.*\s)?(\w+-upgrade|upgrade|(re)?install)(\s|$)", Effect.INSTALL),
    (r"\bdpkg\s(.*\s)?(-i|--install|--unpack|--configure)(\s|$)", Effect.INSTALL),
    (r"/etc/dovecot(?=[/\s'\";&|)]|$)", Effect.CONFIGURE),
    (r"\bdoveadm\b.*\bdirector\b.*\bup\b", Effect.RESTORE),
    (r"\bdoveadm\b.*\bdirector\b.*\bupdate\s+\S+\s+(?!0+(\s|$))", Effect.RESTORE),
)


@lru_cache(maxsize=1024)  # a run's state asks it of each of its steps, again and again
def effects(command: str) -> frozenset[Effect]:
    """All that the command does, empty for one that is known to do none of it."""
    return frozenset(effect for pattern, effect in _READ if re.search(pattern, command, re.DOTALL))


_OTHER_UNITS = re.compile(
    r"\b(systemctl\s+(-\S+\s+)*(stop|disable|mask)(\s+(-\S+|(?!dovecot([.@\s'\"]|$))[\w@:.-]+))+"
    r"|service\s+(?!dovecot\s)[\w@.-]+\s+stop)(?=\s*($|[;&|)])|['\"])"
)


@lru_cache(maxsize=1024)
def disturbs(command: str) -> bool:
    """Whether users or their mail notice it: all that stops something, but for other units than dovecot's by name.

    Puppet or a monitor that is stopped first does not make users wait, so what comes later is held to as much.
    """
    return Effect.STOP in effects(_OTHER_UNITS.sub("", command))


def takes_back(command: str) -> frozenset[Effect]:
    """What it takes back of what was made of the ring; only all of it gives users."""
    if Effect.RESTORE not in effects(command):
        return frozenset()
    return frozenset({Effect.TAKES_VHOSTS if re.search(r"\bupdate\b", command) else Effect.DOWN})


GUARD_REFUSED = 97
"""The exit status of a guarded command that found the service not stopped, and did nothing."""

REFUSES = f"exit {GUARD_REFUSED};"
"""How such a command refuses."""


def is_guarded(command: str) -> bool:
    """Whether the command refuses on the host while a service runs there: it deletes."""
    return REFUSES in command


def sets_owners(command: str) -> bool:
    """Whether the command gives what it unpacks the owners that the archive names."""
    return "--same-owner" in command


def lock_wait(command: str) -> timedelta | None:
    """How long an installation waits for dpkg's lock; None for what installs nothing, or does not say it."""
    found = re.search(r"DPkg::Lock::Timeout=(\d+)", command) if Effect.INSTALL in effects(command) else None
    return timedelta(seconds=int(found[1])) if found else None


def stopped_after(commands: Iterable[frozenset[Effect]]) -> bool:
    """Whether dovecot is stopped once these were run one after the other, by what each does."""
    stopped = False
    for does in commands:
        stopped = Effect.START_DOVECOT not in does and (stopped or Effect.STOP_DOVECOT in does)
    return stopped
