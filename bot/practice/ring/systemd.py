"""A pretend systemd: units, and `systemctl` as it answers on Debian 12."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from bot.practice.values import Answer, Call, failed, succeeded

_LONGER = 'See "systemctl status {0}" and "journalctl -xeu {0}" for details.'


@dataclass(kw_only=True)
class Unit:
    """A unit's state in systemd's own words.

    `may_start` is asked at each start, `started` is told after it, `stopping` and `stopped` at the beginning and at the
    end of each stop.
    """

    active: str = "inactive"
    sub: str = "dead"
    result: str = "success"
    runs_as: str = "running"
    """SubState once it is started; `exited` for what remains after its start is over."""
    file_state: str = "enabled"
    masked: bool = False
    stop_takes: timedelta = timedelta(0)
    stop_result: str = "success"
    """What the next stops leave as Result: other than success, the unit ends as failed."""
    may_start: Callable[[], bool] = lambda: True
    started: Callable[[], None] = lambda: None
    stopping: Callable[[], None] = lambda: None
    stopped: Callable[[], None] = lambda: None
    invocation: str = ""
    """The id of its last start, which a stop leaves."""
    _starts: int = 0
    _stopped: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Nothing is being stopped."""
        self._stopped.set()

    def properties(self) -> dict[str, str]:
        """What `systemctl show` knows, in the order in which systemd prints it."""
        return {
            "Result": self.result,
            "LoadState": "masked" if self.masked else "loaded",
            "ActiveState": self.active,
            "SubState": self.sub,
            "UnitFileState": "masked-runtime" if self.masked else self.file_state,
            "InvocationID": self.invocation,
        }

    def start(self) -> bool:
        """Start it, and say whether that worked; a unit that runs already is left alone."""
        if self.active == "active":
            return True
        self._starts += 1
        self.invocation = f"{self._starts:032x}"
        works = self.may_start()
        self.active, self.sub = ("active", self.runs_as) if works else ("failed", "failed")
        self.result = "success" if works else "exit-code"
        if works:
            self.started()
        return works

    async def stop(self) -> None:
        """Stop it; from the first moment it no longer serves."""
        if self.active != "active":
            # Stopping already, or stopped: a second job waits for the first, and changes nothing.
            await self._stopped.wait()
            return
        self.stopping()
        self.active, self.sub = "deactivating", "stop-sigterm"
        self._stopped.clear()
        await asyncio.sleep(self.stop_takes.total_seconds())
        self.ended()
        self.stopped()
        self._stopped.set()

    def ended(self) -> None:
        """It has stopped, with the result that its stops have."""
        clean = self.stop_result == "success"
        self.active, self.sub = ("inactive", "dead") if clean else ("failed", "failed")
        self.result = self.stop_result

    def boot(self) -> None:
        """It is as after a boot, before anything was started: nothing of the runtime is left, a mask neither."""
        self.active, self.sub, self.result, self.masked = "inactive", "dead", "success", False
        self.invocation = ""
        self._stopped.set()


_NOT_FOUND = {
    "Result": "success",
    "LoadState": "not-found",
    "ActiveState": "inactive",
    "SubState": "dead",
    "UnitFileState": "",
    "InvocationID": "",
}


class Systemd:
    """The units of one host, by name without `.service`."""

    def __init__(self) -> None:
        """No units."""
        self.units: dict[str, Unit] = {}

    def boot(self) -> None:
        """Every unit is as after a boot, before anything was started."""
        for name, unit in list(self.units.items()):
            unit.boot()
            if not unit.file_state:
                del self.units[name]  # it was nothing but a mask

    async def systemctl(self, call: Call) -> Answer:
        """`systemctl show [OPTION…] UNIT…`, or another verb with one unit."""
        options = [argument for argument in call.args if argument.startswith("-")]
        verb, *names = [argument for argument in call.args if not argument.startswith("-")] or [""]
        names = [name.removesuffix(".service") for name in names]
        match verb:
            case "show":
                return self._show(options, names)
            case "start" | "stop" if len(names) == 1:
                return await self._start_or_stop(verb, names[0])
            case "mask" | "unmask" if options == ["--runtime"] and len(names) == 1:
                return self._mask(names[0], masked=verb == "mask")
            case _:
                return failed(1, f"Unknown command verb {verb}.")

    def _properties(self, name: str) -> dict[str, str]:
        unit = self.units.get(name)
        return {"Id": f"{name}.service"} | (unit.properties() if unit is not None else _NOT_FOUND)

    def _show(self, options: list[str], names: list[str]) -> Answer:
        asked = {
            name
            for option in options
            if option.startswith("--property=")
            for name in option.partition("=")[2].split(",")
        }
        bare = "--value" in options
        blocks = [
            "".join(
                f"{value}\n" if bare else f"{key}={value}\n"
                for key, value in self._properties(name).items()
                if not asked or key in asked
            )
            for name in names
        ]
        return succeeded("\n".join(blocks))

    async def _start_or_stop(self, verb: str, name: str) -> Answer:
        unit = self.units.get(name)
        if unit is None:
            found = "found" if verb == "start" else "loaded"
            return failed(5, f"Failed to {verb} {name}.service: Unit {name}.service not {found}.")
        if verb == "stop":
            await unit.stop()
            return Answer()
        if unit.masked:
            return failed(1, f"Failed to {verb} {name}.service: Unit {name}.service is masked.")
        if unit.active == "deactivating":
            await unit.stop()
        if unit.start():
            return Answer()
        wrong = f"Job for {name}.service failed because the control process exited with error code."
        return failed(1, wrong, _LONGER.format(f"{name}.service"))

    def _mask(self, name: str, *, masked: bool) -> Answer:
        lines = []
        if name not in self.units:
            # A mask is only a link: systemd lays it for a name that it does not know, too.
            lines.append(f"Unit {name}.service does not exist, proceeding anyway.")
            self.units[name] = Unit(file_state="")
        unit = self.units[name]
        if unit.masked != masked:
            link = f"/run/systemd/system/{name}.service"
            lines.append(f"Created symlink {link} → /dev/null." if masked else f'Removed "{link}".')
        unit.masked = masked
        if not masked and not unit.file_state:
            del self.units[name]
        return Answer(err="".join(f"{line}\n" for line in lines).encode())
