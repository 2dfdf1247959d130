"""The Slack app's manifest: every scope that a call needs, every slash command, and nothing wider."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from bot.practice.slack.api import METHODS
from bot.practice.slack.server import SCOPES
from tests.build import library

ROOT = Path(__file__).parents[2]
MANIFEST = yaml.safe_load((ROOT / "deploy" / "slack-manifest.yaml").read_text())
CALLED = re.compile(r"client\.((?!send_socket)[a-z]+_\w+)\(")
UPLOADS = {"files_upload_v2": ("files_getUploadURLExternal", "files_completeUploadExternal")}
"""What the SDK makes of one call."""


def called() -> set[str]:
    """The methods of the Web API that the bot's code names."""
    text = "\n".join(path.read_text() for path in (ROOT / "bot" / "adapters" / "slack").rglob("*.py"))
    return {method for name in CALLED.findall(text) for method in UPLOADS.get(name, (name,))}


def test_the_scopes_are_those_of_the_methods_that_are_called_and_of_slash_commands() -> None:
    """`views.open` and `views.update` need none: forms, menus and views widen nothing."""
    known = {name.replace(".", "_"): method for name, method in METHODS.items()}
    assert called() - known.keys() == set()
    assert {"views_open", "views_update"} <= called()
    needed = {scope for name in called() for scope in known[name].scopes} | {"commands"}
    assert needed == set(MANIFEST["oauth_config"]["scopes"]["bot"]) == SCOPES


def test_clicks_and_forms_come_over_the_socket_and_every_procedure_has_its_command() -> None:
    settings = MANIFEST["settings"]
    assert settings["interactivity"] == {"is_enabled": True}
    assert settings["socket_mode_enabled"]
    assert "event_subscriptions" not in settings
    commands = {one["command"] for one in MANIFEST["features"]["slash_commands"]}
    assert commands == {procedure.command for procedure in library().procedures}
