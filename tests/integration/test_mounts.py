"""What is mounted below a folder is seen by the probe's own command, in a mount namespace of the test's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from bot.core.readings.probes import PROBES
from tests.build import target
from tests.lab.fixtures import skip_because
from tests.unit.core.test_trees import said

NAMESPACE = ("unshare", "--mount", "--map-root-user", "--propagation=private")


@pytest.fixture(autouse=True)
def _may_mount() -> None:
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    skip_because(tried.stderr.strip() if tried.returncode else None)


def test_a_folder_that_is_bound_there_is_seen_which_find_would_empty(tmp_path: Path) -> None:
    """It is of the same device, so `-xdev` goes into it."""
    store, vmail, link = (tmp_path / name for name in ("store", "the vmail", "link"))
    (vmail / "shared").mkdir(parents=True)
    store.mkdir()
    (store / "mail").write_text("the only copy")
    link.symlink_to(vmail)
    probe, asks = PROBES["mounts"], {"path": str(link)}

    def reading(mounted: str) -> str | int | bool:
        argv = [*NAMESPACE, "sh", "-c", f'{mounted} && exec "$@"', "sh", *probe.command(target(), asks).argv]
        done = subprocess.run(argv, capture_output=True, text=True, check=True)
        return probe.read(target(), asks, said(done.stdout))["below"]

    assert reading("true") == "none"
    assert reading(f"mount --bind '{store}' '{vmail}/shared'") == f"{vmail}/shared"
