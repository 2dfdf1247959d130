"""Settings and procedures: every mistake is named with its file and place, and nothing is started."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from bot import bootstrap
from bot.adapters.clock import SystemClock
from bot.config import Tokens, read_settings, read_tokens
from bot.core.hosts.inventory import Inventory
from bot.errors import Misconfigured, Refused
from bot.library import procedures_folder, read_library

GOOD = """
[bot]
journal = "journal.db"
drain = "15m"
[slack]
channels = ["C0OPS"]
[people]
requesters = {usergroup = "S0MAIL"}
approvers = {users = ["U0BOB", "W0CAROL"]}
[[rings]]
name = "main"
test_user = "probe@example.org"
directors = [{name = "director-1"}, {name = "director-2"}]
backends = [{name = "backend-1", ip = "192.0.2.11"}, {name = "backend-2", ip = "2001:db8::2", vhosts = 50}]
"""


def settings(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "bot.toml"
    path.write_text(text)
    return path


def test_good_settings_are_read_and_relative_paths_are_beside_them(tmp_path: Path) -> None:
    read = read_settings(settings(tmp_path, GOOD))
    assert read.bot.journal == tmp_path / "journal.db"
    assert read.inventory.find("backend-2").backend.vhosts == 50


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ('drain = "15m"', "drain = 15", "bot.drain"),
        ('drain = "15m"', 'drian = "15m"', "bot.drian: there is no such key here"),
        ('"C0OPS"', '"#mail-ops"', "slack.channels.0: an id is expected"),
        ('"U0BOB"', '"bob"', "people.approvers.users.0: an id is expected"),
        ('{usergroup = "S0MAIL"}', "{}", "people.requesters"),
        ('"192.0.2.11"', '"backend-1.example.org"', "rings.0.backends.0.ip: an IP address is expected"),
        ('name = "backend-1"', 'name = "backend-1; rm -rf /"', "rings.0.backends.0.name"),
        ('name = "backend-1"', 'name = "../backend"', "rings.0.backends.0.name"),
        ('name = "backend-1"', 'name = "director-1"', "host named twice: director-1"),
        ('"192.0.2.11"', '"2001:db8::2"', "backend-1 and backend-2 share ip 2001:db8::2"),
        ("probe@example.org", "probe $(id)", "rings.0.test_user"),
        ("vhosts = 50", "vhosts = 0", "rings.0.backends.1.vhosts"),
        ("[slack]", "[slack", "line"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_place(tmp_path: Path, old: str, new: str, place: str) -> None:
    path = settings(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(Misconfigured) as told:
        read_settings(path)
    assert str(path) in str(told.value)
    assert place in str(told.value)


def test_one_mistake_is_told_once_and_nothing_that_only_follows_from_it(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as told:
        read_settings(settings(tmp_path, GOOD.replace('"192.0.2.11"', '"backend-1.example.org"')))
    assert len(str(told.value).splitlines()) == 1


def test_an_ssh_config_that_the_settings_name_has_to_be_there(tmp_path: Path) -> None:
    """Without it the bot would try other users and addresses than somebody has set up."""
    named = GOOD.replace("[slack]", '[ssh]\nconfig = "nowhere"\n[slack]')
    with pytest.raises(Misconfigured, match="nowhere: the settings name this SSH config"):
        bootstrap.hosts(read_settings(settings(tmp_path, named)), SystemClock())


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as told:
        read_settings(settings(tmp_path, GOOD.replace('"15m"', '"soon"').replace('"C0OPS"', '"ops"')))
    assert all(place in str(told.value) for place in ("bot.drain", "slack.channels.0"))


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"nothing\.toml: cannot be read"):
        read_settings(tmp_path / "nothing.toml")


def test_an_unknown_backend_is_refused_with_those_there_are(tmp_path: Path) -> None:
    inventory: Inventory = read_settings(settings(tmp_path, GOOD)).inventory
    with pytest.raises(Refused, match="backend-1, backend-2"):
        inventory.find("backend-9")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "SLACK_BOT_TOKEN: is not set"),
        ({"SLACK_BOT_TOKEN": "xoxb-1"}, "SLACK_APP_TOKEN: is not set"),
        ({"SLACK_BOT_TOKEN": "xapp-hush", "SLACK_APP_TOKEN": "xapp-1"}, "SLACK_BOT_TOKEN: has a wrong form"),
    ],
)
def test_missing_or_wrong_tokens_are_named_and_never_printed(
    environment: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLACK_BOT_TOKEN", "SLACK_APP_TOKEN", "SLACK_API_URL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Misconfigured) as error:
        read_tokens()
    assert told in str(error.value)
    assert "hush" not in str(error.value)


def test_a_token_is_in_no_repr() -> None:
    assert "hush" not in repr(Tokens(bot_token=SecretStr("xoxb-hush"), app_token=SecretStr("xapp-hush")))


# procedures


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
    ],
)
def test_a_mistake_in_a_procedure_is_told_with_its_file(tmp_path: Path, old: str, new: str, told: str) -> None:
    folder = library(tmp_path, old, new)
    with pytest.raises(Misconfigured) as error:
        read_library(folder)
    assert "dovecot-upgrade.yaml" in str(error.value)
    assert told in str(error.value)


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


URLS = [
    "postgresql://bot:hunter-2@db.example.org/journal",
    "postgresql+asyncpg://bot:hunter-2@db.example.org/journal",
    "postgres:///journal?user=bot&password=hunter-2",
    "POSTGRESQL://bot:hunter-2@db/journal",
    "mysql://bot:hunter-2@db/journal",
    "sqlite+aiosqlite:///var/lib/hunter-2.db",
    "file://host/hunter-2.db",
    "host=db.example.org user=bot password=hunter-2",
    "postgresql:bot:hunter-2@db",
]


@pytest.mark.parametrize("url", URLS)
@pytest.mark.parametrize("key", ["journal", "database", "drain"])
def test_a_database_by_its_url_is_refused_in_words_and_without_its_password(tmp_path: Path, url: str, key: str) -> None:
    """It was taken for a file's name, and printed with the password; so was a URL under any other key."""
    text = GOOD.replace('drain = "15m"\n', "") if key == "drain" else GOOD
    old, new = ("journal.db", url) if key == "journal" else ("[slack]", f'{key} = "{url}"\n[slack]')
    with pytest.raises(Misconfigured) as told:
        read_settings(settings(tmp_path, text.replace(old, new)))
    assert f"bot.{key}: " in str(told.value)
    assert "hunter-2" not in str(told.value)
    if key == "journal":
        assert "the journal is a file (SQLite) for now, and this is a database's address" in str(told.value)


@pytest.mark.parametrize("name", ["journal.db", "/var/lib/dovecot-bot/journal.db", "a:b.db", "pass/word.db", "ü @.db"])
def test_a_file_is_a_file_whatever_its_name(tmp_path: Path, name: str) -> None:
    assert read_settings(settings(tmp_path, GOOD.replace("journal.db", name))).bot.journal.name == Path(name).name


TOKEN = "xoxb-1234-not-to-be-printed"
PASSWORD = "hunter2-tr0ub4dor"


@pytest.mark.parametrize("secret", [TOKEN, PASSWORD])
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[bot]", '[bot]\nbot_token = "SECRET"'),
        ('drain = "15m"', 'drain = "SECRET"'),
        ('"C0OPS"', '"SECRET"'),
        ('"U0BOB"', '"SECRET"'),
        ('"192.0.2.11"', '"SECRET"'),
        ('name = "backend-1"', 'name = "backend-1 SECRET"'),
        ("probe@example.org", "SECRET $(id)"),
        ("vhosts = 50", 'vhosts = "SECRET"'),
        ("[slack]", '[slack]\nteam = {token = "SECRET"}'),
        ("[slack]", '[slack]\ntoken = "SECRET'),
        ("[slack]", "[slack]\ntoken = SECRET"),
        ("[[rings]]", '[ssh]\nconfig = 7\npassphrase = "SECRET"\n[[rings]]'),
    ],
)
def test_a_secret_that_stands_in_the_settings_is_not_told_back(tmp_path: Path, old: str, new: str, secret: str) -> None:
    """What a mistake prints stands in terminals, tickets and the log of the service."""
    assert old in GOOD
    with pytest.raises(Misconfigured) as refused:
        read_settings(settings(tmp_path, GOOD.replace(old, new.replace("SECRET", secret), 1)))
    assert secret not in str(refused.value)
    assert "bot.toml" in str(refused.value)


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
