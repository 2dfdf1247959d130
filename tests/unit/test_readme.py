"""bot/README.md says what the code does: its diagrams are made from the contracts and the table, its files are there.

And tests/README.md names tests that are there.

.venv/bin/python -m tests.unit.test_readme      prints the diagrams anew
"""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from pathlib import Path

from bot.core.runs.transitions import TRANSITIONS, Status

BOT = Path(__file__).parents[2] / "bot"
README = BOT / "README.md"
TESTS = BOT.parent / "tests"


def diagram() -> str:
    """The table of transitions as a Mermaid state diagram: an arrow for each two statuses, with the facts on it."""
    arrows: dict[tuple[Status, Status], list[str]] = {}
    for before, facts in TRANSITIONS.items():
        for kind, after in facts.items():
            arrows.setdefault((before, after), []).append(kind.__name__)
    name = {status: re.sub(r"\W", "_", status.value) for status in Status}
    lines = ["stateDiagram-v2", f"    [*] --> {name[Status.READY]}: RunRequested"]
    lines += [f"    {name[a]} --> {name[b]}: {', '.join(sorted(kinds))}" for (a, b), kinds in arrows.items()]
    return "\n".join([*lines, f"    {name[Status.ENDED]} --> [*]"])


Rows = list[list[str]]


def layers() -> str:
    """The contracts of import-linter as a Mermaid flowchart: a box for each package that has layers of its own."""
    rooms: dict[str, Rows] = {}
    only: dict[str, list[str]] = {}
    for contract in tomllib.loads((BOT.parent / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]:
        match contract:
            case {"type": "layers", "containers": [room], "layers": rows}:
                rooms[room] = [[f"{room}.{name.strip()}" for name in row.split("|")] for row in rows]
            case {"type": "protected", "protected_modules": modules, "allowed_importers": importers}:
                only |= dict.fromkeys(modules, importers)
            case {"type": kind}:
                assert kind == "forbidden", "no layers"
    return "\n".join(["flowchart TB", *_drawn("bot", rooms, only, "    ")])


def _drawn(room: str, rooms: dict[str, Rows], only: dict[str, list[str]], margin: str) -> list[str]:
    rows, lines = rooms[room], []
    for module in (module for row in rows for module in row):
        if module in rooms:
            lines += [f'{margin}subgraph {_id(module)}["{module}"]', *_drawn(module, rooms, only, margin + "    ")]
            lines += [f"{margin}end"]
        else:
            lines += [f'{margin}{_id(module)}["{module.rpartition(".")[2]}"]']
    arrows = [(a, b) for above, below in pairwise(rows) for a in above for b in below if b not in only]
    arrows += [(a, b) for row in rows for b in row for a in only.get(b, [])]
    return [*lines, *(f"{margin}{_id(a)} --> {_id(b)}" for a, b in arrows)]


def _id(module: str) -> str:
    return module.replace(".", "_")


def test_the_picture_of_the_layers_is_that_of_the_contracts() -> None:
    assert layers() in README.read_text()


def test_the_state_diagram_is_that_of_the_table() -> None:
    assert diagram() in README.read_text()


def test_every_test_that_the_list_of_failures_names_is_there() -> None:
    names = set(re.findall(r"`(test_\w+)`", (TESTS / "README.md").read_text()))
    tests = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    assert len(names) > 10
    assert {name for name in names if f"def {name}(" not in tests} == set()


def test_every_module_of_core_and_engine_is_named() -> None:
    text = README.read_text()
    modules = {path.name for room in ("core", "engine") for path in (BOT / room).rglob("*.py")} - {"__init__.py"}
    assert {name for name in modules if name not in text} == set()


if __name__ == "__main__":
    print(layers(), diagram(), sep="\n\n")
