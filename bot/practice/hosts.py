"""The two kinds of pretend hosts: directors, which answer for the ring, and backends, which hold the mail."""

from collections.abc import Callable
from datetime import datetime, timedelta

from bot.practice.directing import Directing
from bot.practice.dovecot import VERSION, Dovecot
from bot.practice.files import Disk
from bot.practice.fixtures import backend_disk
from bot.practice.host import Host
from bot.practice.packages import Packages
from bot.practice.ringstate import RingState
from bot.practice.systemd import Systemd, Unit
from bot.practice.values import Answer, Call, Faults, Ran, failed, said

FLUSH_UNIT = "dovecot-metacache-flush"


class Director(Host):
    """A director. Set `version_text` for another Dovecot."""

    def __init__(
        self, name: str, ip: str, *, ring: RingState, now: Callable[[], datetime], log: list[Ran], faults: Faults
    ) -> None:
        """Its view of the ring is in `ring`, under its name."""
        super().__init__(name, ip, Disk(), log=log, faults=faults)
        self.version_text = VERSION
        self._ring = ring
        self._now = now
        self.words["doveadm"] = Directing(name, ring, now).doveadm
        self.words["dovecot"] = self._dovecot

    def _dovecot(self, call: Call) -> Answer:
        if call.args != ("--version",):
            return failed(64, "Usage: dovecot --version")
        return said(f"{self.version_text}\n")

    @property
    def away(self) -> bool:
        """Whether its director process is gone: SSH works, doveadm answers 75, the others do without it."""
        return self._ring.directors[self.name].away

    @away.setter
    def away(self, value: bool) -> None:
        self._ring.set_away(self.name, self._now(), away=value)


class Backend(Host):
    """A backend. Its parts may be set by a test: `dovecot`, `dovecot_unit`, `packages`, `units`, `disk`."""

    def __init__(self, name: str, ip: str, *, users: set[str], metacache: bool, log: list[Ran], faults: Faults) -> None:
        """With dovecot running, and everything as a well-kept backend has it."""
        super().__init__(name, ip, backend_disk(metacache=metacache), log=log, faults=faults)
        systemd = Systemd()
        self.units = systemd.units
        self.dovecot_unit = self.units["dovecot"] = Unit(stop_takes=timedelta(seconds=0.3))
        if metacache:
            self.units[FLUSH_UNIT] = Unit(active="active", sub="exited")
        self.dovecot = Dovecot(name=name, disk=self.disk, unit=self.dovecot_unit, users=users)
        self.packages = Packages(self._start_after_install)
        self.greeting = self.dovecot.greeting
        self.dovecot_unit.started, self.dovecot_unit.stopped = self._started, self._stopped
        self.dovecot_unit.start()
        self.words |= {
            "doveadm": self.dovecot.doveadm,
            "doveconf": self.dovecot.doveconf,
            "dovecot": self.dovecot.dovecot,
            "systemctl": systemd.systemctl,
            "dpkg-query": self.packages.dpkg_query,
            "apt-cache": self.packages.apt_cache,
            "apt-get": self.packages.apt_get,
        }

    def _started(self) -> None:
        self.dovecot.stopped_services.clear()
        if (unit := self.units.get(FLUSH_UNIT)) is not None and unit.file_state != "disabled":
            unit.active, unit.sub = "active", "exited"

    def _stopped(self) -> None:
        """The flush unit is part of dovecot and goes down with it, which is when it flushes."""
        if (unit := self.units.get(FLUSH_UNIT)) is not None:
            unit.active, unit.sub = "inactive", "dead"

    def _start_after_install(self) -> bool:
        """A dovecot package's script starts dovecot, although it was stopped; only a mask keeps it from that."""
        return self.dovecot_unit.masked or self.dovecot_unit.start()

    @property
    def serving(self) -> bool:
        """Whether its dovecot takes logins."""
        return self.dovecot.serving

    @property
    def start_fails(self) -> bool:
        """Whether the next starts of dovecot fail."""
        return self.dovecot.start_fails

    @start_fails.setter
    def start_fails(self, value: bool) -> None:
        self.dovecot.start_fails = value

    @property
    def mailboxes_empty(self) -> bool:
        """Whether no mailbox here has a mail in it."""
        return self.dovecot.mailboxes_empty

    @mailboxes_empty.setter
    def mailboxes_empty(self, value: bool) -> None:
        self.dovecot.mailboxes_empty = value

    @property
    def metacache_flush(self) -> str | None:
        """The flush unit's state as systemd has it (enabled, disabled, static), or None when there is no unit."""
        unit = self.units.get(FLUSH_UNIT)
        return unit.file_state if unit is not None else None

    @metacache_flush.setter
    def metacache_flush(self, value: str | None) -> None:
        self.units.pop(FLUSH_UNIT, None)
        if value is not None:
            running = value != "disabled"
            self.units[FLUSH_UNIT] = Unit(
                active="active" if running else "inactive", sub="exited" if running else "dead", file_state=value
            )
