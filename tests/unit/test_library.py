"""Procedures and rules: every mistake is named with its file and place, and nothing is started."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.errors import Misconfigured
from bot.library import procedures_folder, read_library


def library(tmp_path: Path, old: str, new: str) -> Path:
    folder = tmp_path / "procedures"
    folder.mkdir()
    for path in procedures_folder().glob("*.yaml"):
        text = path.read_text()
        (folder / path.name).write_text(text.replace(old, new, 1) if path.name == "dovecot-upgrade.yaml" else text)
    return folder


ASK_TWICE = """step: again
        says: Ask again
        because: of it
        approval: %s

      - step: """


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("run: doveadm service stop lmtp", "run: doveadm service stop lmtp\n        shell: echo", "run or shell"),
        ("where: backend", "where: backend-3", "stages.1.steps.0"),
        ("says: No new users", "sayz: No new users", "sayz"),
        ("probe: director-hosts", "probe: directors", "there is no probe 'directors'"),
        ("{backend.ip} 0", "{backend.address} 0", "no such placeholder here: {backend.address}"),
        ("state: up, vhosts:", "state: up, vhost:", "knows no vhost"),
        ("doveadm director flush {backend.ip}", "doveadm director flush all", "no-flush-of-all"),
        ("  - stage: drain", "  - stage: drain\n    stage: drain", "stands twice"),
        ("step: stop-dovecot", "step: stop-lmtp", "step named twice: stop-lmtp"),
        ("evidence: [count-mapped-users, ", "evidence: [nothing, ", "no earlier check"),
        ("while_stopped: dovecot", "repeatable: true", "delete-only-while-stopped"),
        ("        no_undo_because: users come back by themselves once the backend is back\n", "", "undo"),
        ("wait: drain", "wait: 15 minutes", "wait"),
        (
            "{observed.config_before}",
            "{observed.config_befor}",
            "remembers config_befor; remembered is: config_before, config_before_packages, config_compared",
        ),
        ("{packages_before: installed}", "{packages_before: instaled}", "packages_before is to be instaled"),
        (
            '        needs: metacache\n        says: "{metacache',
            '        says: "{metacache',
            "on a site without metacache",
        ),
        ("        needs: config\n        where", "        where", "in a run without config="),
        (
            "step: stop-lmtp\n",
            ASK_TWICE % "flush" + "stop-lmtp\n",
            "the flush approval is asked for twice: approve-flush, again",
        ),
        ("step: director-up\n", ASK_TWICE % "restore" + "director-up\n", "the restore approval is asked for twice"),
        ("procedure: dovecot-upgrade", "procedure: [", "yaml"),
        ("procedure: dovecot-upgrade", "procedure: !!map x", "line 5: expected a mapping"),
    ],
)
def test_a_mistake_in_a_procedure_is_told_with_its_file(tmp_path: Path, old: str, new: str, told: str) -> None:
    folder = library(tmp_path, old, new)
    with pytest.raises(Misconfigured) as error:
        read_library(folder)
    assert "dovecot-upgrade.yaml" in str(error.value)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("2026-02-30", "timestamp"),
        ("2026-13-01", "timestamp"),
        ("1" * 5_000, "int"),
        *((f"!!{kind} x", kind) for kind in ("int", "float", "bool", "timestamp")),
        ("!!int ''", "int"),
    ],
)
def test_a_value_that_cannot_be_made_is_told_with_its_file_and_line(tmp_path: Path, value: str, kind: str) -> None:
    """A date with a slip in it; Python's own words for it have no place."""
    folder = library(tmp_path, "summary: ", f"summary: {value} #")
    lines = (folder / "dovecot-upgrade.yaml").read_text().splitlines()
    (number,) = [number for number, line in enumerate(lines, 1) if line.startswith("summary: ")]
    with pytest.raises(Misconfigured, match=rf"dovecot-upgrade\.yaml: line {number}: this cannot be read as {kind};"):
        read_library(folder)


def test_a_second_procedure_with_its_own_command_needs_no_python(tmp_path: Path) -> None:
    folder = library(tmp_path, "", "")
    (folder / "restart-lmtp.yaml").write_text(
        """
procedure: lmtp-look
command: /lmtp-look
title: Look at LMTP on {backend.name}
summary: Looks whether LMTP is there
stages:
  - stage: look
    says: Look at it
    steps:
      - step: lmtp-greets
        says: LMTP greets
        because: a backend without it takes no mail
        expect: {probe: greeting, port: "{ring.lmtp_port}", greets: true}
"""
    )
    assert {procedure.command for procedure in read_library(folder).procedures} == {"/dovecot-upgrade", "/lmtp-look"}


def test_a_rule_that_is_no_regular_expression_is_told_with_its_file_and_place(tmp_path: Path) -> None:
    folder = library(tmp_path, "", "")
    (folder / "rules.yaml").write_text("rules:\n  - {rule: no-foo, never: (foo, because: it is broken}\n")
    with pytest.raises(Misconfigured, match=r"rules\.yaml: rules\.0\.never.*no regular expression"):
        read_library(folder)


def test_two_procedures_cannot_have_one_command(tmp_path: Path) -> None:
    folder = library(tmp_path, "", "")
    text = (folder / "dovecot-upgrade.yaml").read_text()
    (folder / "other.yaml").write_text(text.replace("procedure: dovecot-upgrade", "procedure: other", 1))
    with pytest.raises(Misconfigured, match="command /dovecot-upgrade stands in two files"):
        read_library(folder)


@pytest.mark.parametrize(
    "line", ["token: {xoxb-SECRET", "command: [xoxb-SECRET", "xoxb-SECRET", "says: a\nsays: 'xoxb-SECRET'"]
)
def test_a_secret_that_stands_in_a_procedure_is_not_told_back(tmp_path: Path, line: str) -> None:
    """YAML's own words for a mistake have the line with them."""
    folder = tmp_path / "procedures"
    folder.mkdir()
    (folder / "rules.yaml").write_text((procedures_folder() / "rules.yaml").read_text())
    (folder / "own.yaml").write_text(f"procedure: own\n{line}\n")
    with pytest.raises(Misconfigured, match=r"own\.yaml: ") as refused:
        read_library(folder)
    assert "SECRET" not in str(refused.value)
