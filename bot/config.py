"""Settings: one TOML file for the site, the environment for tokens. Each mistake is shown with its file and place."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.core.hosts.inventory import Inventory, Ring, mistakes
from bot.core.text.duration import Duration
from bot.core.text.redact import redact
from bot.core.text.strict import Strict
from bot.engine.ports import Timings
from bot.errors import Misconfigured


def _can_be_a_path(path: Path) -> Path:
    """Else it would be found out by whoever opens it, without its place here."""
    if "\0" in str(path):
        raise ValueError("no path has a NUL character in it")
    try:
        path.expanduser()
    except RuntimeError:
        raise ValueError("there is no home directory of that user") from None
    return path


FilePath = Annotated[Path, AfterValidator(_can_be_a_path)]
UserId = Annotated[str, Field(pattern=r"^[UW][A-Z0-9]{2,20}$")]
GroupId = Annotated[str, Field(pattern=r"^S[A-Z0-9]{2,20}$")]
ChannelId = Annotated[str, Field(pattern=r"^[CG][A-Z0-9]{2,20}$")]
Length = Annotated[
    Duration,
    Field(ge=timedelta(seconds=1)),
    WithJsonSchema({"type": "string", "pattern": "^(?!0+[smh]$)[0-9]{1,6}[smh]$"}),
]
Model = TypeVar("Model", bound=BaseModel)


_MARK = "\ufeff"

_WATCHED = timedelta(minutes=5)

# How a database's address looks: no file's name, and never shown, as it may hold a password.
_ADDRESS = re.compile(r"(?i)://|^(postgres|mysql|mariadb|sqlite|file)[\w+]*:|\b(password|passwd|pwd)\s*=")


class BotPart(Strict):
    """The bot itself: where its journal and the proposed configurations are, and how long things take."""

    journal: FilePath
    configs: FilePath | None = None
    procedures: FilePath | None = None
    drain: Length = Timings.drain
    approval_open: Length = Timings.approval_open
    approval_repeats: tuple[Length, ...] = Timings.approval_repeats
    count_every: Length = Timings.count_every
    watch_every: Length = Timings.watch_every
    require_reason: bool = False
    require_ticket: bool = False
    package_lists_old: Length = Timings.lists_old

    @field_validator("watch_every")
    @classmethod
    def _often(cls, value: timedelta) -> timedelta:
        if value > _WATCHED:
            raise ValueError("at most 5m: where a director forgets, users are sent to a stopped backend for as long")
        return value

    @field_validator("journal", mode="before")
    @classmethod
    def _a_file(cls, value: object) -> object:
        if isinstance(value, str) and _ADDRESS.search(value):
            raise ValueError("the journal is a file (SQLite) for now, and this is a database's address: give a path")
        return value


class SlackPart(Strict):
    """The channels where the bot may be used, by id."""

    channels: tuple[ChannelId, ...] = Field(min_length=1)
    team: str | None = None


class PeoplePart(Strict):
    """Slack user ids, or one user group, or both."""

    users: tuple[UserId, ...] = ()
    usergroup: GroupId | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if not self.users and not self.usergroup:
            raise ValueError("say users or usergroup; nobody is allowed otherwise")
        return self


MOST_CALLED = 40
"""Approvers by their ids: each is called by name wherever approvers are, in a third of a message's text at most."""


class AllPeoplePart(Strict):
    """Who may ask for runs, and who may approve them."""

    requesters: PeoplePart
    approvers: PeoplePart

    @field_validator("approvers")
    @classmethod
    def _all_are_called(cls, value: PeoplePart) -> PeoplePart:
        if len(set(value.users)) > MOST_CALLED:
            raise ValueError(f"a message calls {MOST_CALLED} users at most: put them into a group, and say usergroup")
        return value

    @model_validator(mode="after")
    def _two_persons(self) -> Self:
        everybody = {*self.requesters.users, *self.approvers.users}
        if len(everybody) == 1 and not (self.requesters.usergroup or self.approvers.usergroup):
            raise ValueError(f"{everybody.pop()} alone may ask and approve, and nobody approves what they asked for")
        return self


class SshPart(Strict):
    """How hosts are reached: OpenSSH client configuration, known hosts, patience."""

    config: tuple[FilePath, ...] = (Path("~/.ssh/config"),)
    known_hosts: FilePath = Path("~/.ssh/known_hosts")
    connect_timeout: Length = timedelta(seconds=10)
    keepalive: Length = timedelta(seconds=10)

    @field_validator("config", mode="before", json_schema_input_type=Path | tuple[Path, ...])
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return (value,) if isinstance(value, str) else value


def _one_machine_each(ring: Ring) -> Ring:
    """Each ring by itself, so that its mistakes are shown with its place."""
    if found := mistakes((ring,)):
        raise ValueError("; ".join(found))
    return ring


class Settings(Strict):
    """The settings file."""

    bot: BotPart
    slack: SlackPart
    people: AllPeoplePart
    ssh: SshPart = SshPart()
    rings: tuple[Annotated[Ring, AfterValidator(_one_machine_each)], ...] = Field(min_length=1)

    @property
    def inventory(self) -> Inventory:
        """The rings."""
        return Inventory(rings=self.rings)

    @model_validator(mode="after")
    def _inventory_holds_together(self) -> Self:
        if found := mistakes(self.rings):
            raise ValueError("; ".join(found))
        return self


class Tokens(BaseSettings):
    """What the environment gives: SLACK_BOT_TOKEN, SLACK_APP_TOKEN, and SLACK_API_URL for another Slack."""

    model_config = SettingsConfigDict(env_prefix="SLACK_", frozen=True)

    bot_token: SecretStr
    app_token: SecretStr
    api_url: str = Field(default="https://slack.com/api/", pattern=r"^https?://.+/$")

    @field_validator("bot_token", "app_token")
    @classmethod
    def _of_its_kind(cls, token: SecretStr, info: ValidationInfo) -> SecretStr:
        prefix = {"bot_token": "xoxb-", "app_token": "xapp-"}[info.field_name or ""]
        if not token.get_secret_value().startswith(prefix):
            raise ValueError(f"begins with {prefix}")
        return token


def read_tokens() -> Tokens:
    """The tokens of the environment; raises Misconfigured, naming the variable and never its value."""
    try:
        return Tokens()
    except ValidationError as error:
        wrong = [
            f"SLACK_{str(place['loc'][0]).upper()}: "
            + ("is not set" if place["type"] == "missing" else "has a wrong form")
            for place in error.errors(include_input=False, include_url=False)
        ]
        hint = "SLACK_BOT_TOKEN begins with xoxb-, SLACK_APP_TOKEN with xapp-, SLACK_API_URL ends with /."
        raise Misconfigured("\n".join(["environment:", *wrong, hint])) from None


def read_settings(path: Path) -> Settings:
    """The settings file; relative paths in it are beside it. Raises Misconfigured with every mistake in it."""
    try:
        table = read_toml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Misconfigured(f"{path}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise Misconfigured(f"{path}: {redact(str(error))}") from None
    settings = validated(Settings, table, path)
    beside = path.resolve().parent

    def anchored(part: Path | None) -> Path | None:
        return part and beside / part.expanduser()

    bot = settings.bot
    at = {name: anchored(getattr(bot, name)) for name in ("journal", "configs", "procedures")}
    ssh = settings.ssh
    reached = {"config": tuple(anchored(one) for one in ssh.config), "known_hosts": anchored(ssh.known_hosts)}
    return settings.model_copy(update={"bot": _placed(bot, at), "ssh": _placed(ssh, reached)})


def _placed(part: Model, paths: Mapping[str, object]) -> Model:
    """The part with these paths in it; what the settings do not name is not among what they name afterwards either."""
    return part.model_construct(part.model_fields_set, **{**dict(part), **paths})


def read_toml(text: str) -> Any:
    """What it says; raises ValueError, in words for people."""
    if text.startswith(_MARK):
        raise ValueError("begins with a byte-order mark: save it without one, as plain UTF-8")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise ValueError("a value in it is nested too deeply") from None
    except ValueError:  # tomllib's own are all of its kind, but for what Python does not make a number of
        raise ValueError("a number in it has too many digits") from None


def validated(model: type[Model], value: object, path: Path) -> Model:
    """What was read from this file, as the model has it; raises Misconfigured with every mistake."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Misconfigured("\n".join(_mistakes(error, path))) from None


_OWN_WORDS = {
    "extra_forbidden": "there is no such key here",
    "ip_v4_address": "an IP address is expected, not a name",
    "ip_v6_address": "an IP address is expected, not a name",
}
_SLACK_ID = "an id is expected, which begins with C, G, U, W or S; Slack's Copy link, and the profile, have it"


def _mistakes(error: ValidationError, path: Path) -> Iterator[str]:
    mistakes = error.errors(include_url=False, include_input=False)
    messages = []
    for mistake in mistakes:
        if mistake["type"] == "too_short" and any(_inside(other["loc"], mistake["loc"]) for other in mistakes):
            continue  # it is too short because of the others
        # A part with brackets is pydantic's own name of a choice between types.
        place = ".".join(str(part) for part in mistake["loc"] if "[" not in str(part))
        # What was given there is not shown: it may be a token in the wrong place.
        messages.append(redact(f"{path}: {place or 'the whole'}: {_wording(mistake['type'], place, mistake['msg'])}"))
    yield from dict.fromkeys(messages)


def _inside(place: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    return len(place) > len(outer) and place[: len(outer)] == outer


def _wording(kind: str, place: str, message: str) -> str:
    if kind == "string_pattern_mismatch" and place.startswith(("slack.channels", "people.")):
        return _SLACK_ID
    return _OWN_WORDS.get(kind) or message.removeprefix("Value error, ")
