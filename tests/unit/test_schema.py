"""The JSON Schemas that editors complete and check with: they take what the bot takes, and know its vocabulary."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator as Validator
from yaml import SafeLoader

from bot.__main__ import SchemaFile
from bot.core.readings.probes import PROBES
from bot.core.text.duration import duration, written
from bot.schema import FILES, as_text, schema_of

ROOT = Path(__file__).parents[2]
KEPT = {
    "procedure": ROOT / "procedures" / "procedure.schema.json",
    "rules": ROOT / "procedures" / "rules.schema.json",
    "settings": ROOT / "deploy" / "settings.schema.json",
}
PROCEDURES = sorted({*(ROOT / "procedures").glob("*.yaml")} - {ROOT / "procedures" / "rules.yaml"})
SHIPPED = [
    *(("procedure", path) for path in PROCEDURES),
    ("rules", ROOT / "procedures" / "rules.yaml"),
    *(("settings", path) for path in sorted((ROOT / "deploy").glob("*.toml"))),
]
PATHS = [str(path.relative_to(ROOT)) for _, path in SHIPPED]


schema = cache(schema_of)


def mistakes(file: str, text: str) -> Iterator[str]:
    read: Any = tomllib.loads(text) if file == "settings" else yaml.load(text, getattr(yaml, "CSafeLoader", SafeLoader))
    return (f"{error.json_path}: {error.message}" for error in Validator(schema(file)).iter_errors(read))


@pytest.mark.parametrize("file", FILES)
def test_it_is_a_schema_and_the_file_in_the_tree_is_the_one_that_the_command_prints(file: str) -> None:
    """Made anew with `dovecot-bot schema FILE`."""
    made = schema_of(file)
    Validator.check_schema(made)
    assert KEPT[file].read_text() == as_text(made)


def test_the_command_knows_each_of_them_and_prints_it() -> None:
    assert {str(file) for file in SchemaFile} == set(FILES)
    command = (sys.executable, "-m", "bot", "schema", "rules")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == KEPT["rules"].read_text()


@pytest.mark.parametrize(("file", "path"), SHIPPED, ids=PATHS)
def test_what_is_shipped_is_valid_and_names_its_schema_in_its_first_line(file: str, path: Path) -> None:
    text = path.read_text()
    assert list(mistakes(file, text)) == []
    named = re.match(r"# yaml-language-server: \$schema=(\S+)\n|#:schema (\S+)\n", text)
    assert named
    assert (path.parent / (named[1] or named[2])).resolve() == KEPT[file]


@pytest.mark.parametrize(
    ("file", "right", "wrong"),
    [
        ("procedure", "run: doveadm director down {backend.ip}", "run: [doveadm, director, down]"),
        ("procedure", "run: doveadm director down {backend.ip}", "runs: doveadm director down {backend.ip}"),
        ("procedure", "timeout: 10m", "timeout: 10 minutes"),
        ("procedure", "where: one director", "where: director-1"),
        ("procedure", "probe: director-ring", "probe: director-rings"),
        ("procedure", "synced: true", "sync: true"),
        ("procedure", "{probe: service, name: lmtp,", "{probe: service,"),
        ("procedure", "bytes: {at_least: 1}", "bytes: {at_least: 1, below: 2}"),
        ("procedure", "no_undo_because: nothing reads the folder", "repeatable: true"),
        ("procedure", "approval: flush", "approval: go back"),
        ("rules", "never: doveadm.*director", "ever: doveadm.*director"),
        ("rules", "harmless:\n", "allowed:\n"),
        ("settings", 'drain = "15m"', "drain = 15"),
        ("settings", 'drain = "15m"', 'drain = "0s"'),
        ("settings", 'channels = ["C0123456789"]', 'channels = ["#mail-ops"]'),
        ("settings", "vhosts = 100", "vhosts = 0"),
        ("settings", 'test_user = "probe@example.org"', ""),
        ("settings", "sudo = true", "root = true"),
        ("settings", '# take_down = "move-first"', 'take_down = "move first"'),
    ],
)
def test_a_mistake_in_a_shipped_file_breaks_its_schema(file: str, right: str, wrong: str) -> None:
    text = next(path for kind, path in SHIPPED if kind == file).read_text()
    assert right in text
    assert next(mistakes(file, text.replace(right, wrong, 1)), None)


@pytest.mark.parametrize("name", PROBES)
def test_a_probe_has_the_keys_of_its_table(name: str) -> None:
    probe = PROBES[name]
    takes = Validator({"$defs": schema("procedure")["$defs"], "$ref": "#/$defs/Expectation"}).is_valid
    asked = {"probe": name, "where": "every director", **dict.fromkeys(probe.parameters, "{backend.name}")}
    for wanted in ("text", 1, True, ["one", 2], {"at_least": 1}, {"below": "2.4"}):
        assert takes(asked | dict.fromkeys(probe.fields - probe.parameters, wanted))
    assert not takes(asked | {"colour": "green"})
    assert not any(takes({k: v for k, v in asked.items() if k != key}) for key in probe.parameters)


@pytest.mark.parametrize("text", ["0s", "10s", "90s", "15m", "1h", "25h"])
def test_a_length_of_time_is_written_as_it_is_read(text: str) -> None:
    assert written(duration(text)) == text
    assert duration(written(timedelta(seconds=60))) == timedelta(minutes=1)
