"""How the tests are shared out between processes, and what they measured.

Those of a file stay together, as they share what is costly to set up. What takes long comes first, those on a real ring
before all: each process has one of its own (tests/lab/ring.py).
"""

from __future__ import annotations

import gc
from collections.abc import Callable

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadFileScheduling

_MEASURED = "measured"
_LONG_FIRST = ("acceptance", "chaos", "harness", "integration", "contract", "unit")
_LONGEST = frozenset({"test_trial_keys.py", "test_others_text.py"})
"""Each of these takes a process longer than any other of its room: begun late, it would keep all others waiting."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadFileScheduling:
    """Give a file to one process, whole, in the order of the collection, whatever `--dist` says."""
    config.option.loadscopereorder = False
    return LoadFileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes long."""
    real = {item.path for item in items if {"lab", "module_lab", "ring"} & set(getattr(item, "fixturenames", ()))}
    items.sort(key=lambda item: (item.path not in real, item.path.name not in _LONGEST, _room(item)))


def pytest_collection_finish() -> None:
    """Have the collector of garbage pass over what the collection has made: it is there to the end."""
    gc.freeze()


def _room(item: pytest.Item) -> int:
    room = item.path.parent.name
    return _LONG_FIRST.index(room) if room in _LONG_FIRST else len(_LONG_FIRST)


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a line of what a test measured; it is printed at the end of all tests."""

    def note(line: str) -> None:
        request.node.user_properties.append((_MEASURED, line))

    return note


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what was measured, below the results."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, ())]
    lines = [(report.nodeid, line) for report in reports for name, line in report.user_properties if name == _MEASURED]
    if lines:
        terminalreporter.section("measured")
        for nodeid, line in lines:
            terminalreporter.write_line(f"{nodeid.partition('::')[2]}: {line}")
