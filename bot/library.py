"""The procedures and the rules, read from their folder. Each mistake is shown with its file and place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bot.config import Settings, validated
from bot.core.plans.laws import Rules
from bot.core.plans.procedure import Procedure
from bot.core.setup.lint import lint_procedure
from bot.core.text.redact import redact
from bot.errors import Misconfigured

if TYPE_CHECKING:
    _Safe = yaml.SafeLoader
else:
    _Safe = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where it is there: ten times as fast


class _Loader(_Safe):
    """YAML without its surprises: a key that stands twice is a mistake, and so is a value that cannot be made."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        """As the parent's, but what Python says of a value it cannot make is reported with its line."""
        try:
            return super().construct_object(node, deep=deep)
        except (ValueError, LookupError, AttributeError) as error:
            if not isinstance(node, yaml.ScalarNode):
                raise
            kind = node.tag.rpartition(":")[2]
            said = f"this cannot be read as {kind}; a text that looks like one stands in quotes"
            raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from error

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """As the parent's, but a key may stand once."""
        if not isinstance(node, yaml.MappingNode):
            return super().construct_mapping(node, deep=deep)  # which refuses it
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key!r} stands twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


@dataclass(frozen=True, kw_only=True)
class Library:
    """The procedures and the rules they are checked against."""

    procedures: tuple[Procedure, ...]
    rules: Rules


def procedures_folder(chosen: Path | None = None) -> Path:
    """The chosen folder, else the one in the installed package, else the one of the checkout."""
    here = Path(__file__).parent
    return chosen or next(
        (folder for folder in (here / "procedures", here.parent / "procedures") if folder.is_dir()),
        here / "procedures",
    )


def library_of(settings: Settings) -> Library:
    """The procedures and rules that the settings choose; raises Misconfigured."""
    return read_library(procedures_folder(settings.bot.procedures))


def read_library(folder: Path) -> Library:
    """Every procedure of the folder, and rules.yaml; raises Misconfigured with the mistakes of all files."""
    mistakes: list[str] = []
    procedures: dict[Path, Procedure] = {}
    rules: Rules | None = None
    for path in sorted(folder.glob("*.yaml")):
        try:
            if path.name == "rules.yaml":
                rules = validated(Rules, _yaml(path), path)
            else:
                procedures[path] = validated(Procedure, _yaml(path), path)
        except Misconfigured as error:
            mistakes.append(str(error))
    if rules is None and not any("rules.yaml" in mistake for mistake in mistakes):
        mistakes.append(f"{folder}: there is no rules.yaml")
    mistakes += [f"{folder}: there is no procedure"] if not procedures and not mistakes else []
    mistakes += [f"{folder}: {what}" for what in _twice(procedures)]
    if mistakes or rules is None:
        raise Misconfigured("\n".join(mistakes))
    if not rules.lists_harmless and folder != procedures_folder():
        rules = rules.model_copy(update={"harmless": _shipped_rules().harmless})
    for path, procedure in procedures.items():
        try:
            lint_procedure(procedure, rules)
        except Misconfigured as error:
            raise Misconfigured(f"{path}: {error}") from None
    return Library(procedures=tuple(procedures.values()), rules=rules)


def _shipped_rules() -> Rules:
    path = procedures_folder() / "rules.yaml"
    return validated(Rules, _yaml(path), path)


def _yaml(path: Path) -> object:
    try:
        return yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        # Its own words have the line with them, whatever that says.
        place = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise Misconfigured(f"{path}: {place}{redact(str(error.problem))}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise Misconfigured(f"{path}: {redact(str(error))}") from None


def _twice(procedures: Mapping[Path, Procedure]) -> Iterator[str]:
    for what in ("procedure", "command"):
        names = [getattr(procedure, what) for procedure in procedures.values()]
        yield from sorted({f"{what} {name} stands in two files" for name in names if names.count(name) > 1})
