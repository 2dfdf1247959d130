"""What the ring and its hosts turn out to be while a run is under way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bot.core.hosts.inventory import Access
from bot.core.runs.events.evidence import Ran, Seen


@dataclass(frozen=True, kw_only=True)
class HostsProved:
    """Every host of the run proved to be the one that the settings mean, and the run claims its directors themselves.

    `by` says what proved the backend, in words; `lock` is the file on it that changes are sent behind. `directors`: by
    name, the IP:PORT that its own row of the ring's status says.
    """

    backend: str
    by: str
    machine_id: str
    boot_id: str
    lock: str
    directors: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class RingDeviated:
    """A director says otherwise than this run left it, first of all `step`; written before it is set back.

    `helpless`: why it is not set back, empty when it is. `sends`: how many commands go to `host` now, to begin there
    until `not_after` by its clock. `given`: all directors that say so, `host` among them.
    """

    step: str
    host: str
    reason: str
    helpless: str = ""
    sends: int = 0
    not_after: int = 0
    given: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class RingSetBack:
    """What came of setting a director back; `holds` when every director that answers says what it should again, and
    those answer that said otherwise.

    `not_after`: as of StepStarted.
    """

    step: str
    holds: bool
    reason: str
    not_after: int = 0
    ran: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class BackendRebooted:
    """The backend was booted since this run last changed it; `reason` says what of that is left.

    `lost` is the first step whose effect is gone, empty when all that has to be so still is.
    """

    host: str
    boot_id: str
    was: str
    reason: str
    lost: str = ""
    ran: tuple[Ran, ...] = ()
    seen: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SeenOut:
    """After somebody took over a backend that was not out, the directors were seen to have it at vhost count 0."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class OthersCounted:
    """The other backends that users can be sent to became fewer than the ring needs, or enough again."""

    usable: int
    needed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class MonitorSaysUp:
    """A health monitor has set the backend up at vhost count 0, which harms nobody; reported once."""

    host: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SettingsChanged:
    """The bot was started, and its settings differ otherwise than it knew from those that the run was asked for with.

    `directors`, `backends`: by name, those that are reached otherwise from here on. `stays`: all else that differs, in
    words; for this run it is as when it was asked for.
    """

    directors: Mapping[str, Access]
    backends: Mapping[str, Access]
    stays: tuple[str, ...]
