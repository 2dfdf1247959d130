"""bot/README.md says what the code does: its diagram is made from the table of transitions, its files are there.

.venv/bin/python -m tests.unit.test_readme      prints the diagram anew
"""

from __future__ import annotations

import re
from pathlib import Path

from bot.core.runs.run import TRANSITIONS, Status

BOT = Path(__file__).parents[2] / "bot"
README = BOT / "README.md"


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


def test_the_state_diagram_is_that_of_the_table() -> None:
    assert diagram() in README.read_text()


def test_every_test_that_the_table_of_failures_names_is_there() -> None:
    text = README.read_text()
    names = set(re.findall(r"`(test_\w+)`", text))
    tests = "\n".join(path.read_text() for path in (BOT.parent / "tests").rglob("test_*.py"))
    assert len(names) > 10
    assert {name for name in names if f"def {name}(" not in tests} == set()


def test_every_module_of_core_and_engine_is_named() -> None:
    text = README.read_text()
    modules = {path.name for room in ("core", "engine") for path in (BOT / room).rglob("*.py")} - {"__init__.py"}
    assert {name for name in modules if name not in text} == set()


if __name__ == "__main__":
    print(diagram())
