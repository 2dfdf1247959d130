"""`deploy/try` says what became of what it typed, also where there is no run, or none that went well."""

from __future__ import annotations

import asyncio
import io
import re
import tempfile
from datetime import timedelta
from pathlib import Path

import pytest

from bot.core.plans.proposal import Asked, read_request
from bot.practice.demo import TYPED, Trial
from tests.forked import forked


@pytest.fixture(autouse=True)
def _folders_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial leaves its change record in a folder of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


async def tried(text: str) -> tuple[int, str]:
    """The exit status, and what was shown."""
    out = io.StringIO()
    status = await Trial(drain=timedelta(seconds=1), scripted=True, out=out, text=text, launch=forked).run()
    return status, out.getvalue()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("backend-3 packages=keep config=keep", "Nothing would change on backend-3"),
        ("backend-3 config=keep packages=dovecot-core=1:9.9", "dovecot-core=1:9.9"),
        ("backnd-3", "Did you mean"),
    ],
    ids=["nothing would change", "refused in preflight", "mistyped"],
)
async def test_what_is_refused_is_shown_and_fails(text: str, why: str) -> None:
    status, shown = await tried(text)
    assert status == 1
    assert f"/dovecot-upgrade {text}" in shown
    assert "only @alice sees this" in shown
    assert why in shown
    assert "change record" not in shown


async def test_the_script_itself_fails_where_what_was_typed_is_refused() -> None:
    """Who calls it from another script sees no thread."""
    script = Path(__file__).parents[2] / "deploy/try"
    process = await asyncio.create_subprocess_exec(
        script, "--yes", "backnd-3", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    shown, _ = await process.communicate()
    assert (process.returncode, "There is no run, and nothing was changed." in shown.decode()) == (1, True), shown


async def test_what_it_types_of_itself_is_the_bare_command_with_a_small_change_and_goes_well() -> None:
    status, shown = await tried(TYPED)
    asked = read_request(TYPED)
    assert asked == Asked(backend="backend-3", reason=asked.reason, ticket=asked.ticket, text="backend-3")
    assert status == 0
    assert "lines +2 -1, newer none, removed 0" in re.sub(r"[\s│]+", " ", shown), "as wrapped as it is"
    assert "The change record: " in shown
    assert [part for part in samples() if part not in read(shown)] == []


def read(text: str) -> str:
    """Without its wrapping, and with one number for every number."""
    return re.sub(r"[\s│]+", " ", re.sub(r"\d+", "0", text)).strip()


def samples() -> list[str]:
    """What the README shows of an approval and of a thread, message by message."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    _, _, after = readme.partition("What the second engineer sees")
    parts = after.partition("A whole run is")[0].split("\n\n")
    found = [read(part) for part in parts if part.startswith("    ")]
    assert len(found) == 4
    return found
