"""A pretend doveconf: reads a configuration with all that it includes and names, and says what is wrong with it.

Messages as of Dovecot 2.3.19.1: src/config/config-parser.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bot.practice.machine.files import Disk
from bot.practice.values import Answer, Call, failed, succeeded


@dataclass(frozen=True, kw_only=True)
class _Line:
    """One line: in which file, its number and text."""

    file: str
    number: int
    text: str

    def mistaken(self, wrong: str) -> str:
        """As doveconf says it."""
        return f"doveconf: Fatal: Error in configuration file {self.file} line {self.number}: {wrong}"


class Doveconf:
    """Dovecot's reading of configurations on one disk; `version` and `unknown` may be set.

    `unknown`: settings that this version does not know.
    """

    def __init__(self, disk: Disk, version: str, unknown: frozenset[str] = frozenset()) -> None:
        """It knows every setting but BROKEN, unless told otherwise."""
        self.version = version
        self.unknown = unknown
        self._disk = disk

    def on(self, disk: Disk) -> Doveconf:
        """The same program, where other files are seen."""
        return Doveconf(disk, self.version, self.unknown)

    def _lines(self, path: str) -> Iterator[_Line]:
        """Every line, those of included files where they are included; an `!include` of nothing stands for itself."""
        text = (self._disk.read(path) or b"").decode(errors="replace")
        for number, line in enumerate(text.splitlines(), start=1):
            included = re.match(r"\s*!include(_try)?\s+(\S+)", line)
            below = self._disk.glob(_from(path, included[2])) if included else []
            for file in below:
                yield from self._lines(file)
            if not included or not (below or included[1]):
                yield _Line(file=path, number=number, text=line)

    def error_in(self, path: str, *, expand: bool = True) -> str | None:
        """What keeps Dovecot from reading it; `expand`: the files that values are read from, too, as at a start."""
        if self._disk.read(path) is None:
            return f"doveconf: Fatal: open({path}) failed: No such file or directory"
        open_sections: list[str] = []
        for line in self._lines(path):
            wrong = self._mistake(line, open_sections) or (self._missing(line) if expand else None)
            if wrong is not None:
                return line.mistaken(wrong)
        if open_sections:
            missing = f"Missing '}}' (section started at {open_sections[-1]})"
            return f"doveconf: Fatal: Error in configuration file {path}: {missing}"
        return None

    def _missing(self, line: _Line) -> str | None:
        found = re.match(r"\s*(\w+)\s*=\s*<\s*(\S+)", line.text)
        file = _from(line.file, found[2]) if found else ""
        if found is None or self._disk.read(file) is not None:
            return None
        return f"{found[1]}: Can't open file {file}: No such file or directory"

    def _mistake(self, line: _Line, open_sections: list[str]) -> str | None:
        """What Dovecot says of a line that it cannot read; keeps account of the sections that are open."""
        text = line.text.split("#", 1)[0].strip()
        if text.startswith("!include"):
            return "No matches"
        if text == "}":
            if not open_sections:
                return "Unexpected '}'"
            open_sections.pop()
        elif text.endswith("{"):
            open_sections.append(f"{line.file}:{line.number}")
        elif text and "=" not in text:
            return "Expecting '{'"
        name = text.split()[0] if text else ""
        return f"Unknown setting: {name}" if re.search(r"\bBROKEN\b", text) or name in self.unknown else None

    def answer(self, call: Call) -> Answer:
        """`doveconf [-x] -n -c PATH`: the settings outside of sections; exit status 89 for a broken file."""
        expand = call.args[:1] == ("-x",)
        match call.args[expand:]:
            case ("-n", "-c", path):
                pass
            case _:
                return failed(64, "usage: doveconf [-x] [-n] [-c <config file>]")
        if (error := self.error_in(path, expand=expand)) is not None:
            return failed(89, error)
        settings = {
            line.text.split("=", 1)[0].strip(): line.text.strip()
            for line in self._lines(path)
            if re.match(r"\w+\s*=", line.text)
        }
        lines = [f"# {self.version}: {path}", *(settings[key] for key in sorted(settings))]
        return succeeded("".join(f"{line}\n" for line in lines))


def _from(file: str, named: str) -> str:
    """A path as a file's line has it: from that file's own folder, unless it is a full one."""
    return named if named.startswith("/") else f"{file.rpartition('/')[0]}/{named}"
