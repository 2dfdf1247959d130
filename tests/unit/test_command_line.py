"""The command line: a command imports what it uses, and help uses next to nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HELP = """
import runpy, sys
sys.argv = ["dovecot-bot", *sys.argv[1:]]
try:
    runpy.run_module("bot", run_name="__main__")
except SystemExit as left:
    assert not left.code, left.code
print("loaded:", *{name.partition(".")[0] for name in sys.modules}, *(n for n in sys.modules if n.startswith("bot.")))
"""

COSTLY = {"asyncio", "asyncssh", "aiohttp", "apscheduler", "pydantic", "rich", "slack_bolt", "slack_sdk", "sqlalchemy"}
OF_TYPER = {"pydantic"}
"""Typer reads the options of a command with it."""


@pytest.mark.parametrize(
    ("arguments", "allowed"), [(("--help",), set()), (("serve", "--help"), OF_TYPER), (("try", "--help"), OF_TYPER)]
)
def test_help_imports_no_part_of_the_bot_and_no_library_that_is_slow(
    arguments: tuple[str, ...], allowed: set[str]
) -> None:
    """Who looks for the right command, over SSH on a busy machine, waits for none of them."""
    done = subprocess.run(
        (sys.executable, "-c", HELP, *arguments), cwd=ROOT, capture_output=True, text=True, check=True
    )
    shown, _, loaded = done.stdout.rpartition("loaded: ")
    assert "Usage: dovecot-bot" in shown
    assert COSTLY & set(loaded.split()) <= allowed
    assert {name for name in loaded.split() if name.startswith("bot.")} <= {"bot.__main__", "bot.errors"}
