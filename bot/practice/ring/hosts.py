"""The two kinds of pretend hosts: directors, which answer for the ring, and backends, which hold the mail."""

from collections.abc import Callable, Iterator
from datetime import timedelta

from bot.core.readings.sessions import COUNTED
from bot.practice.machine.files import Directory, Disk, File, Node
from bot.practice.machine.host import Host
from bot.practice.machine.namespace import Namespaces
from bot.practice.ring.directing import Directing
from bot.practice.ring.dovecot import VERSION, Dovecot, dovecot
from bot.practice.ring.fixtures import METACACHE, VMAIL, backend_disk
from bot.practice.ring.packages import Packages
from bot.practice.ring.state import DirectorsState
from bot.practice.ring.systemd import Systemd, Unit
from bot.practice.values import Answer, Call, Fault, Faults, HostLog, Loss, Now

FLUSH_UNIT = "dovecot-metacache-flush"


class Director(Host):
    """A director. Set `version_text` for another Dovecot."""

    def __init__(
        self, name: str, ip: str, *, ring: DirectorsState, now: Now, log: HostLog, faults: Faults[Fault]
    ) -> None:
        """Its view of the ring is in `ring`, under its name."""
        super().__init__(name, ip, Disk(now), now=now, log=log, faults=faults)
        self.version_text = VERSION
        self._ring = ring
        self._directing = Directing(name, ring, now)
        self.programs["doveadm"] = self._directing.doveadm
        self.programs["sh"] = self._counting
        self.programs["dovecot"] = lambda call: dovecot(self.version_text, call)

    async def _counting(self, call: Call) -> Answer:
        """The count of proxied sessions is known as a whole: the small shell has no pipes, and no awk."""
        match call.args:
            case ("-c", script, ip) if script == COUNTED:
                return await self._directing.proxied(ip)
            case _:
                return await self._sh(call)

    @property
    def away(self) -> bool:
        """Whether its director process is gone: SSH works, doveadm answers 75, the others do without it."""
        return self._ring.directors[self.name].away

    @away.setter
    def away(self, value: bool) -> None:
        self._ring.set_away(self.name, self.now(), away=value)

    @property
    def hanging(self) -> bool:
        """Whether its director process is stopped, as by SIGSTOP: it answers nothing, and the others wait for it."""
        return self._ring.directors[self.name].hanging

    @hanging.setter
    def hanging(self, value: bool) -> None:
        self._ring.set_hanging(self.name, hanging=value)


class Backend(Host):
    """A backend. Its parts may be set by a test: `dovecot`, `dovecot_unit`, `packages`, `units`, `disk`,
    `namespaces`.

    `metacache_flushed` is the truth, whatever systemd says: all that the metacache holds is in the object storage.
    """

    def __init__(
        self,
        name: str,
        ip: str,
        *,
        users: set[str],
        metacache: bool,
        now: Now,
        log: HostLog,
        faults: Faults[Fault],
        cut_off: Callable[[], None],
    ) -> None:
        """With dovecot running, and everything as a well-kept backend has it; `cut_off` cuts its users' connections."""
        super().__init__(name, ip, backend_disk(now, metacache=metacache), now=now, log=log, faults=faults)
        self.metacache_flushed = not metacache
        self._metacache = metacache
        self._will_flush = False
        self._cut_off = cut_off
        self.disk.removed = self._removed
        self._systemd = systemd = Systemd()
        self.units = systemd.units
        self.dovecot_unit = self.units["dovecot"] = Unit(stop_takes=timedelta(seconds=0.3))
        if metacache:
            self.units[FLUSH_UNIT] = Unit(runs_as="exited")
        self.dovecot = Dovecot(name=name, disk=self.disk, unit=self.dovecot_unit, users=users)
        self.packages = Packages(self.disk, self._start_after_install)
        self.namespaces = Namespaces(self.disk, lambda disk: {"doveconf": self.dovecot.doveconf.on(disk).answer}, now)
        self.greeting = self.dovecot.greeting
        self.dovecot_unit.started = self._started
        self.dovecot_unit.stopping, self.dovecot_unit.stopped = self._stopping, self._stopped
        self.dovecot_unit.start()
        self.programs |= {
            "doveadm": self.dovecot.doveadm,
            "doveconf": self.dovecot.doveconf.answer,
            "dovecot": lambda call: dovecot(self.dovecot.doveconf.version, call),
            "unshare": self.namespaces.unshare,
            "systemctl": systemd.systemctl,
            "dpkg-query": self.packages.dpkg_query,
            "apt-cache": self.packages.apt_cache,
            "apt-get": self.packages.apt_get,
            "df": self.packages.df,
        }

    def _started(self) -> None:
        self.dovecot.stopped_services.clear()
        self.dovecot.past_directors.clear()
        self.metacache_flushed = not self._metacache
        if (unit := self.units.get(FLUSH_UNIT)) is not None and unit.file_state != "disabled":
            unit.start()

    def _stopping(self) -> None:
        """The flush unit flushes when it is stopped together with dovecot; systemd runs no ExecStop of a masked one."""
        unit = self.units.get(FLUSH_UNIT)
        self._will_flush = unit is not None and unit.active == "active" and not self.dovecot_unit.masked

    def _stopped(self) -> None:
        """The flush unit is part of dovecot and goes down with it."""
        unit = self.units.get(FLUSH_UNIT)
        if unit is not None and unit.active == "active":
            unit.ended()
        clean = unit is not None and {unit.result, self.dovecot_unit.result} == {"success"}
        self.metacache_flushed = not self._metacache or (self._will_flush and clean)

    def _removed(self, path: str, node: Node) -> None:
        if not self.metacache_flushed and path.startswith((f"{VMAIL}/", f"{METACACHE}/metacache-users")):
            self.log.losses.extend(Loss(at=self.now(), host=self.name, path=lost) for lost in _files(path, node))

    def reboot(self) -> None:
        """A hard reset: what runs and who is connected is cut off, and what is enabled starts."""
        super().reboot()
        self._cut_off()
        self._systemd.boot()
        self.dovecot.stopped_services.clear()
        if self.dovecot_unit.file_state == "enabled":
            self.dovecot_unit.start()

    def _start_after_install(self) -> bool:
        """A dovecot package's script starts dovecot, although it was stopped; only a mask keeps it from that."""
        return self.dovecot_unit.masked or self.dovecot_unit.start()

    @property
    def serving(self) -> bool:
        """Whether its dovecot takes logins."""
        return self.dovecot.serving

    @property
    def metacache_flush(self) -> str | None:
        """The flush unit's state as systemd has it (enabled, disabled, static), or None when there is no unit."""
        unit = self.units.get(FLUSH_UNIT)
        return unit.file_state if unit is not None else None

    @metacache_flush.setter
    def metacache_flush(self, value: str | None) -> None:
        self.units.pop(FLUSH_UNIT, None)
        if value is not None:
            unit = self.units[FLUSH_UNIT] = Unit(runs_as="exited", file_state=value)
            if value != "disabled":
                unit.start()


def _files(path: str, node: Node) -> Iterator[str]:
    """The files at and below a path."""
    if isinstance(node, File):
        yield path
    elif isinstance(node, Directory):
        for name, below in node.entries.items():
            yield from _files(f"{path}/{name}", below)
