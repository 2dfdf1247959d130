"""An installed wheel finds its procedures as a checkout does, from whatever folder it is run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from bot.library import procedures_folder, read_library
from bot.practice.site import CONFIG, propose

CHECKOUT = Path(__file__).parents[2]
EXAMPLE = CHECKOUT / "deploy" / "dovecot-bot.toml"


def run(*arguments: str, cwd: Path, first: Path | None = None) -> str:
    """Python with these arguments, `first` being where it looks for modules first; returns what it printed."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PYTHONPATH": str(first)} if first else {}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run("-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(CHECKOUT), cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("installed")
    options = ("--quiet", "--no-deps", "--no-index", "--no-compile", "--disable-pip-version-check")
    run("-m", "pip", "install", *options, "--target", str(target), str(wheel), cwd=target)
    return target


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As somebody has it who unpacked an archive of the repository."""
    folder = tmp_path_factory.mktemp("unpacked")
    for name in ("bot", "procedures"):
        shutil.copytree(CHECKOUT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.mark.parametrize(("where", "procedures"), [("installed", "bot/procedures"), ("unpacked", "procedures")])
def test_it_finds_its_own_procedures_from_another_folder(
    where: str, procedures: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """With the example settings, which have to be without a mistake, too: here with all that they name beside them."""
    home: Path = request.getfixturevalue(where)
    settings = tmp_path / EXAMPLE.name
    settings.write_text(EXAMPLE.read_text().replace("/etc/dovecot-bot/", "").replace("/var/lib/dovecot-bot/", ""))
    (tmp_path / "ssh_config").touch()
    propose(tmp_path / "configs" / CONFIG, {"dovecot.conf": b""})
    said = run("-m", "bot", "check", "--config", str(settings), cwd=tmp_path, first=home)
    for procedure in read_library(procedures_folder()).procedures:
        assert f"{procedure.command}: {procedure.summary} ({len(procedure.steps)} steps)" in said
    asked = "from bot.library import procedures_folder; print(procedures_folder())"
    assert run("-c", asked, cwd=tmp_path, first=home).strip() == str(home / procedures)


def test_the_wheel_has_the_procedures_of_the_checkout_the_command_and_nothing_of_the_tests(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        for path in (CHECKOUT / "procedures").glob("*.yaml"):
            assert archive.read(f"bot/procedures/{path.name}") == path.read_bytes()
        (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
        assert "dovecot-bot = bot.__main__:main" in archive.read(entry_points).decode()
    assert {name.partition("/")[0] for name in names} == {"bot", entry_points.partition("/")[0]}
