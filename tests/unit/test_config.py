"""Settings: every mistake is named with its file and place, and nothing is started."""

from __future__ import annotations

import locale
from pathlib import Path

import pytest
from pydantic import SecretStr

from bot import bootstrap
from bot.adapters.clock import SystemClock
from bot.config import MOST_CALLED, Tokens, read_settings, read_tokens
from bot.core.hosts.inventory import Inventory
from bot.errors import Misconfigured, Refused
from bot.library import procedures_folder, read_library
from bot.missing import missing, mistake

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
        ('name = "main"', 'name = "main"\ntake_down = "move first"', "rings.0.take_down"),
        ("[slack]", "[slack", "line"),
        ("journal.db", r"journal\u0000.db", "bot.journal: no path has a NUL character in it"),
        ("journal.db", "~nobody-of-here/journal.db", "bot.journal: there is no home directory of that user"),
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


@pytest.mark.parametrize("part", ["", '[ssh]\nknown_hosts = "known_hosts"\n'])
async def test_the_usual_ssh_config_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Whoever has a key in its usual place needs none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    path = settings(tmp_path, GOOD.replace("[slack]", f"{part}[slack]"))
    assert await missing(read_settings(path)) == []
    assert mistake(path) == ""


async def test_what_the_settings_name_and_is_not_there_is_named_by_check(tmp_path: Path) -> None:
    """Else it shows with a backend out: the bot is started anew, and does not come up."""
    named = GOOD.replace("[slack]", '[ssh]\nconfig = "ssh_config"\n[slack]').replace("journal.db", "kept/journal.db")
    named = named.replace("[bot]", '[bot]\nconfigs = "configs"').replace('"main"', '"main"\nproposed = "review"')
    read = read_settings(settings(tmp_path, named))
    ssh, journal, proposed = await missing(read)
    assert ssh.startswith(f"ssh.config: {tmp_path}/ssh_config: the settings name this SSH config, and it is not there")
    assert journal == f"bot.journal: {tmp_path}/kept: this folder is not there"
    assert proposed.startswith(f"rings.0.proposed: {tmp_path}/configs: There is no configuration 'review'.")
    for folder in ("kept", "configs/review"):
        (tmp_path / folder).mkdir(parents=True)
    for file in ("ssh_config", "configs/review/dovecot.conf"):
        (tmp_path / file).touch()
    assert await missing(read) == []


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as told:
        read_settings(settings(tmp_path, GOOD.replace('"15m"', '"soon"').replace('"C0OPS"', '"ops"')))
    assert all(place in str(told.value) for place in ("bot.drain", "slack.channels.0"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("x = " + "[" * 2_000 + "]" * 2_000, "nested too deeply"),
        ("x = " + "1" * 5_000, "a number in it has too many digits"),
        ("\ufeff" + GOOD, "begins with a byte-order mark"),
    ],
)
def test_a_file_that_python_does_not_take_is_told_in_words(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misconfigured, match=rf"bot\.toml: .*{told}"):
        read_settings(settings(tmp_path, text))


def test_settings_and_procedures_are_read_as_utf_8_whatever_the_locale_is(tmp_path: Path) -> None:
    """In a C locale the shipped settings could not be read; in an ISO 8859-1 one, every text was another."""
    path = settings(tmp_path, GOOD.replace("journal.db", "jürnal.db"))
    usual = locale.setlocale(locale.LC_CTYPE)
    locale.setlocale(locale.LC_CTYPE, "C")
    try:
        assert read_settings(path).bot.journal.name == "jürnal.db"
        assert read_library(procedures_folder()).procedures
    finally:
        locale.setlocale(locale.LC_CTYPE, usual)


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


def test_one_person_alone_cannot_ask_and_approve(tmp_path: Path) -> None:
    """It showed when the first run asked, with its backend drained."""
    alone = GOOD.replace('{usergroup = "S0MAIL"}', '{users = ["U0BOB"]}').replace('["U0BOB", "W0CAROL"]', '["U0BOB"]')
    with pytest.raises(Misconfigured, match="U0BOB alone may ask and approve"):
        read_settings(settings(tmp_path, alone))


def test_more_approvers_than_a_message_calls_need_a_group(tmp_path: Path) -> None:
    """Those whom it left out would never hear of a question."""
    many = GOOD.replace('"U0BOB"', ", ".join(f'"U0ENGINEER{at}"' for at in range(MOST_CALLED)))
    with pytest.raises(Misconfigured, match=r"people\.approvers: a message calls 40 users at most: .* say usergroup"):
        read_settings(settings(tmp_path, many))
    assert len(read_settings(settings(tmp_path, many.replace(', "W0CAROL"', ""))).people.approvers.users) == MOST_CALLED


def test_a_watch_that_looks_once_a_day_is_none(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"bot\.watch_every: at most 5m"):
        read_settings(settings(tmp_path, GOOD.replace('drain = "15m"', 'drain = "15m"\nwatch_every = "30h"')))
