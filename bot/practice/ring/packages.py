"""A pretend apt and dpkg: three packages, the versions that are offered, and an installation that starts dovecot."""

import asyncio
import fnmatch
import getopt
from collections.abc import Callable
from datetime import timedelta

from bot.practice.machine.files import Disk
from bot.practice.values import Answer, Call, failed, succeeded

OLD = "1:2.3.19.1+dfsg1-2.1+deb12u6"
NEW = "1:2.3.19.1+dfsg1-2.1+deb12u7"
NAMES = ("dovecot-core", "dovecot-imapd", "dovecot-lmtpd")
_READING = "Reading package lists...\nBuilding dependency tree...\nReading state information...\n"
_SOURCE = "http://deb.example/debian bookworm/main amd64 Packages"
LISTS, ARCHIVES = "/var/lib/apt/lists", "/var/cache/apt/archives"
_LOCK = "/var/lib/dpkg/lock-frontend"
_OPTIONS = ("yes", "allow-downgrades", "no-remove", "download-only", "reinstall", "simulate")
_FORMAT = r"${Package}\t${Version}\t${db:Status-Status}\n"


class Packages:
    """What is installed and offered on one host; `installed` and `offered` may be set by a test.

    `offered` has the versions of each package from old to new; the mirror does not have those in `gone`, and is out of
    reach while `mirror_away`. `held`: packages that are on hold. `locked_by`, `interrupted`: what keeps dpkg from it.
    `fails`: the next installations end with exit status 100 before they change anything. `unpacks` is what an
    installation does to the disk, `free` what is free there, in MiB.
    """

    def __init__(self, disk: Disk, start_dovecot: Callable[[], bool]) -> None:
        """`start_dovecot` does what a package's script does at its end, and says whether that worked."""
        disk.write(f"{LISTS}/deb.example_debian_dists_bookworm_InRelease", "")
        disk.make_directory(f"{ARCHIVES}/partial")
        self._disk = disk
        self.gone: set[str] = set()
        self.held: set[str] = set()
        self.mirror_away = False
        self.locked_by = ""
        self.interrupted = False
        self.free = dict.fromkeys(("/var", "/usr", "/boot"), 5_000)
        self.installed = dict.fromkeys(NAMES, OLD)
        self.offered = {name: [OLD, NEW] for name in NAMES}
        self.takes = timedelta(seconds=0.3)
        self.fails = False
        self.unpacks: Callable[[], object] = lambda: None
        self._start_dovecot = start_dovecot

    def dpkg_query(self, call: Call) -> Answer:
        """`dpkg-query --show --showformat=FORMAT NAME…`, with the format of the probes."""
        match call.args:
            case ("--show", shape, *patterns) if shape == f"--showformat={_FORMAT}":
                names = [found for one in patterns for found in fnmatch.filter(sorted(self.installed), one) or [one]]
            case _:
                return failed(2, f"dpkg-query: not understood here: {' '.join(call.args)}")
        missing = [name for name in names if name not in self.installed]
        out = "".join(f"{name}\t{self.installed[name]}\tinstalled\n" for name in names if name in self.installed)
        err = "".join(f"dpkg-query: no packages found matching {name}\n" for name in missing)
        return Answer(exit_status=1 if missing else 0, out=out.encode(), err=err.encode())

    def apt_cache(self, call: Call) -> Answer:
        """`apt-cache madison NAME…` or `apt-cache policy NAME…`; an unknown name is passed over in silence."""
        verb, *names = call.args or ("",)
        if verb == "policy":
            return succeeded("".join(self._policy(name) for name in names if name in self.offered))
        if verb != "madison":
            return failed(100, f"E: Invalid operation {verb}")
        out = "".join(
            f"{name:>10} | {version:>10} | {_SOURCE}\n"
            for name in names
            for version in reversed(self.offered.get(name, []))
        )
        return succeeded(out)

    def _policy(self, name: str) -> str:
        installed, versions = self.installed.get(name, "(none)"), self.offered[name][::-1]
        rows = [
            f" {'***' if version == installed else '   '} {version} 500\n        500 {_SOURCE}\n"
            for version in versions
        ]
        head = f"{name}:\n  Installed: {installed}\n  Candidate: {versions[0]}\n  Version table:\n"
        return head + "".join(rows)

    def df(self, call: Call) -> Answer:
        """`df --portability --block-size=1M PATH`."""
        path = call.args[-1]
        if call.args != ("--portability", "--block-size=1M", path) or path not in self.free:
            return failed(1, f"df: {path}: No such file or directory")
        header = "Filesystem 1048576-blocks Used Available Capacity Mounted on\n"
        return succeeded(f"{header}/dev/sda1 20000 {20_000 - self.free[path]} {self.free[path]} 50% /\n")

    async def apt_get(self, call: Call) -> Answer:
        """`apt-get [OPTION…] install NAME=VERSION…`, or `apt-get check`."""
        try:
            given, operands = getopt.gnu_getopt(list(call.args), "o:", _OPTIONS)
        except getopt.GetoptError as problem:
            return failed(100, f"E: Command line option {problem.opt} is not understood")
        values = dict(value.split("=", 1) for name, value in given if name == "-o")
        match operands:
            case ["check"]:
                return _refused(*against) if (against := self._not_ready()) else succeeded(_READING)
            case ["install", *specs]:
                return await self._install(specs, {name for name, _ in given}, values)
            case _:
                return failed(100, f"E: Invalid operation {' '.join(operands)}")

    def _not_ready(self) -> list[str]:
        if self.locked_by:
            unable = f"E: Unable to acquire the dpkg frontend lock ({_LOCK}), is another process using it?"
            return [f"E: {self._held()}", unable]
        again = "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem. "
        return [again] if self.interrupted else []

    def _held(self) -> str:
        return f"Could not get lock {_LOCK}. It is held by process 4711 ({self.locked_by})"

    async def _refusal(self, values: dict[str, str]) -> Answer | None:
        """Wait for the lock as long as the command says, by default not at all; None once nothing keeps apt from it.

        As seen of apt 2.6: after it has waited, only what it printed meanwhile says who holds the lock.
        """
        patience, waited = int(values.get("DPkg::Lock::Timeout", "0")), ""
        for _ in range(patience):
            if not self.locked_by:
                break
            waited += f"Waiting for cache lock: {self._held()}...\n"
            await asyncio.sleep(1)
        errors = self._not_ready()
        return _refused(*errors[-1 if patience else 0 :], printed=waited) if errors else None

    def _fetched(self, wanted: dict[str, str], archives: str) -> list[str]:
        """Have these packages in that folder; the mirror's errors where they cannot be had."""
        if self._disk.look(f"{archives}/partial") is None:
            return [f"E: Archives directory {archives}/partial is missing. - Acquire (2: No such file or directory)"]
        for name, version in wanted.items():
            file = f"{name}_{version.replace(':', '%3a')}_amd64.deb"
            if self._disk.read(f"{archives}/{file}") is not None:
                continue
            if self.mirror_away or version in self.gone:
                why = "Could not connect to deb.example:80" if self.mirror_away else "404  Not Found"
                return [f"E: Failed to fetch http://deb.example/debian/pool/main/d/dovecot/{file}  {why}"]
            self._disk.write(f"{archives}/{file}", "a package")
        return []

    async def _install(self, specs: list[str], options: set[str], values: dict[str, str]) -> Answer:
        simulated = "--simulate" in options
        if not simulated and (refusal := await self._refusal(values)):
            return refusal
        wanted = dict(spec.split("=", 1) for spec in specs)
        together = self._together(wanted)
        if against := self._against(wanted, together, options):
            removed = together[1] if together else []
            printed = f"The following packages will be REMOVED:\n  {' '.join(removed)}\n" if removed else ""
            return _refused(against, printed=printed)
        assert together is not None
        changed, removed = together
        if simulated:
            return self._simulated(changed, removed)
        fetched = wanted if "--reinstall" in options else changed
        if not_had := self._fetched(fetched, values.get("Dir::Cache::archives", ARCHIVES)):
            return _refused(*not_had)
        if "--download-only" in options:
            return succeeded(_READING + "Download complete and in download only mode\n")
        if not changed:
            return succeeded(_READING + "0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n")
        await asyncio.sleep(self.takes.total_seconds())
        if self.fails:
            return _refused("E: Sub-process /usr/bin/dpkg returned an error code (1)")
        for name in removed:
            del self.installed[name]
        return self._set_up(changed)

    def _against(
        self, wanted: dict[str, str], together: tuple[dict[str, str], list[str]] | None, options: set[str]
    ) -> str:
        """Why apt does not do it; empty when it does."""
        for name, version in wanted.items():
            if name not in self.offered:
                return f"E: Unable to locate package {name}"
            if version not in self.offered[name]:
                return f"E: Version '{version}' for '{name}' was not found"
        if together is None:
            return "E: Unable to correct problems, you have held broken packages."
        changed, removed = together
        if removed and "--no-remove" in options:
            return "E: Packages need to be removed but remove is disabled."
        if self.held & set(changed) and "--yes" in options:
            return "E: Held packages were changed and -y was used without --allow-change-held-packages."
        return ""

    def _together(self, wanted: dict[str, str]) -> tuple[dict[str, str], list[str]] | None:
        """What changes and what is removed, as each package needs the core of its own version; None if that cannot be.

        A package that nobody named goes along to the newest version, and is removed for any other.
        """
        core, *others = NAMES
        newest = self.offered[core][-1]
        pulled = any(wanted.get(name) == newest for name in others)
        to = wanted.get(core) or (newest if pulled else self.installed[core])
        if any(wanted[name] != to for name in others if name in wanted):
            return None
        unnamed = [name for name in others if name not in wanted and self.installed.get(name, to) != to]
        removed = [] if to == newest else unnamed
        along = {} if removed else dict.fromkeys(unnamed, to)
        meant = {**wanted, core: to, **along}
        return {name: version for name, version in meant.items() if self.installed.get(name) != version}, removed

    def _simulated(self, changed: dict[str, str], removed: list[str]) -> Answer:
        was = {name: f" [{self.installed[name]}]" if name in self.installed else "" for name in changed}
        lines = [f"Remv {name} [{self.installed[name]}]" for name in removed]
        lines += [f"Inst {name}{was[name]} ({version} Debian [amd64])" for name, version in changed.items()]
        lines += [f"Conf {name} ({version} Debian [amd64])" for name, version in changed.items()]
        return succeeded("NOTE: This is only a simulation!\n" + _READING + "".join(f"{line}\n" for line in lines))

    def _set_up(self, changed: dict[str, str]) -> Answer:
        self.installed |= changed
        self.unpacks()
        lines = [f"Setting up {name} ({version}) ..." for name, version in changed.items()]
        if not self._start_dovecot():
            return _refused(
                "Job for dovecot.service failed because the control process exited with error code.",
                "E: Sub-process /usr/bin/dpkg returned an error code (1)",
            )
        return succeeded(_READING + "".join(f"{line}\n" for line in lines))


def _refused(*lines: str, printed: str = "") -> Answer:
    return Answer(
        exit_status=100, out=(_READING + printed).encode(), err="".join(f"{line}\n" for line in lines).encode()
    )
