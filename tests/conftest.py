"""How the tests are shared out between processes, and what they measured.

Those of a file stay together, as they share what is costly to set up. Those on the real ring stay together and come
first: there can be only one on a machine, and it takes longest.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

REAL_RING = "the real ring"
_MEASURED = "measured"
_LONG_FIRST = ("acceptance", "chaos", "harness", "integration", "contract", "unit")


def group_of(nodeid: str) -> str:
    """Those of one group run one after another: by their names, as no more is known where they are shared out."""
    file = nodeid.partition("::")[0]
    name = file.rpartition("/")[2]
    real = name.startswith(("test_real_", "test_lab")) or (name.startswith("test_ring") and "[real" in nodeid)
    return REAL_RING if real else file


class Groups(LoadScopeScheduling):
    """Gives a group to one process, whole, in the order of the collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Groups:
    """Share out by these groups, whatever `--dist` says."""
    config.option.loadscopereorder = False
    return Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what takes long; refuse what would have a real ring beside another one."""
    strays = [item.nodeid for item in items if "lab" in getattr(item, "fixturenames", ()) and _elsewhere(item)]
    if strays:
        raise pytest.UsageError(f"on the real ring, and not named test_real_… or test_lab…: {', '.join(strays)}")
    items.sort(key=lambda item: (_elsewhere(item), _room(item)))


def _elsewhere(item: pytest.Item) -> bool:
    return group_of(item.nodeid) != REAL_RING


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
