"""What the command line prints: whole, or it is said in one line why not, with exit status 2."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from bot.__main__ import main
from bot.adapters.journal import SqlJournal
from bot.practice.site import CONFIG, propose
from tests.unit.stories import happy

CHECKOUT = Path(__file__).parents[2]
FULL = "standard output does not take it: No space left on device\n"


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example settings with all that they name beside them, and one run in the journal."""
    folder = tmp_path_factory.mktemp("site")
    text = (CHECKOUT / "deploy" / "dovecot-bot.toml").read_text(encoding="utf-8")
    path = folder / "dovecot-bot.toml"
    path.write_text(text.replace("/etc/dovecot-bot/", "").replace("/var/lib/dovecot-bot/", ""), encoding="utf-8")
    (folder / "ssh_config").touch()
    propose(folder / "configs" / CONFIG, {"dovecot.conf": b""})
    asyncio.run(_one_run(folder / "journal.db"))
    return path


async def _one_run(path: Path) -> None:
    async with SqlJournal(f"sqlite:///{path}") as journal:
        for entry in happy().entries:
            await journal.append("r2025a", entry.seq - 1, entry.at, (entry.fact,))


def ended(monkeypatch: pytest.MonkeyPatch, settings: Path, arguments: Sequence[str], out: io.TextIOBase) -> object:
    """The exit status of the program with these arguments, in this process: Python's own start takes long."""
    with monkeypatch.context() as patch:
        patch.setattr(sys, "argv", ["dovecot-bot", *arguments, "--config", str(settings)])
        patch.setattr(sys, "stdout", out)
        with pytest.raises(SystemExit) as left:
            main()
    return left.value.code


@pytest.mark.parametrize("arguments", [("record", "r2025a"), ("runs",), ("check",), ("sudoers", "backend-3")])
def test_a_full_disk_behind_standard_output_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Path, arguments: tuple[str, ...]
) -> None:
    """`dovecot-bot record r2025a > r2025a.md`, for the auditor: who reads only the exit status has half a record."""
    full = Path("/dev/full").open("w", encoding="utf-8")  # noqa: SIM115 - it cannot be closed in order
    assert ended(monkeypatch, settings, arguments, full) == 2
    assert capsys.readouterr().err == FULL
    with suppress(OSError):
        full.close()


def test_as_a_process_it_says_nothing_more_as_it_ends(settings: Path) -> None:
    """Python tries once more to write what is left, and has an exit status of its own for that."""
    with Path("/dev/full").open("wb") as full:
        command = (sys.executable, "-m", "bot", "runs", "--config", str(settings))
        done = subprocess.run(command, cwd=CHECKOUT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (2, FULL)


def test_a_record_is_printed_whole_where_a_terminal_has_fewer_signs(
    monkeypatch: pytest.MonkeyPatch, settings: Path
) -> None:
    """What it lacks is spelled out: in an audit trail a name of question marks is none."""
    printed = {}
    for encoding in ("utf-8", "iso8859-1"):
        out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        assert ended(monkeypatch, settings, ("record", "r2025a"), out) == 0
        printed[encoding] = out.buffer.getvalue()
    assert "→".encode() in printed["utf-8"]
    spelled = printed["utf-8"].decode().encode("iso8859-1", errors="backslashreplace")
    assert printed["iso8859-1"] == spelled


@pytest.mark.parametrize("run", ["r\udcff", "", "r 1", "r\n1"])
def test_what_is_no_runs_id_is_said_to_be_none(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Path, run: str
) -> None:
    """A byte that is no UTF-8 comes as half a character, with which no journal can be asked."""
    assert ended(monkeypatch, settings, ("record", run), io.StringIO()) == 2
    assert capsys.readouterr().err == f"{run!a} is no run's id. `dovecot-bot runs` lists those there are.\n"


def test_check_fails_as_long_as_something_that_the_settings_name_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: Path
) -> None:
    """`dovecot-bot check && systemctl restart dovecot-bot`: with a backend out, the bot would not come up."""
    out = io.StringIO()
    assert ended(monkeypatch, settings, ("check",), out) == 0
    wrong = settings.with_name("wrong.toml")
    wrong.write_text(settings.read_text(encoding="utf-8").replace("ssh_config", "nowhere"), encoding="utf-8")
    again = io.StringIO()
    assert ended(monkeypatch, wrong, ("check",), again) == 2
    assert again.getvalue() == out.getvalue(), "what holds is said all the same"
    assert capsys.readouterr().err.startswith(f"{wrong}: ssh.config: {wrong.parent}/nowhere: ")
