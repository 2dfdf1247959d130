"""JSON Schemas of the files that people write, for their editors: what stands in a file, not what the bot makes of it.

The vocabulary comes from the models that read the files, the probes and what each reads from their table. What depends
on several places of a file at once (names used twice, evidence of an earlier check) is left to `dovecot-bot check`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from types import MappingProxyType
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from bot.config import Settings
from bot.core.plans.laws import Rules
from bot.core.plans.procedure import Procedure
from bot.core.readings.probe import Probe
from bot.core.readings.probes import PROBES
from bot.core.text.duration import written

FILES: Mapping[str, type[BaseModel]] = MappingProxyType({"procedure": Procedure, "rules": Rules, "settings": Settings})
"""The files that have a schema, and the model that reads each."""

JsonSchema = dict[str, Any]


def schema_of(file: str) -> JsonSchema:
    """The schema of one of the `FILES` (draft 2020-12)."""
    made = FILES[file].model_json_schema(schema_generator=_Written)
    if "Expectation" in made.get("$defs", ()):
        kinds = made["$defs"]
        kinds["Wanted"] = kinds["Expectation"]["additionalProperties"]
        kinds["Expectation"] = _expectation(kinds["Expectation"])
    return {"$schema": GenerateJsonSchema.schema_dialect, **made}


def as_text(made: JsonSchema) -> str:
    """A schema as it is kept in a file."""
    return json.dumps(made, indent=2, ensure_ascii=False) + "\n"


class _Written(GenerateJsonSchema):
    """With lengths of time as people write them."""

    def encode_default(self, dft: Any) -> Any:
        """What a key is where it is left out."""
        match dft:
            case timedelta():
                return written(dft)
            case tuple():
                return [self.encode_default(one) for one in dft]
            case _:
                return super().encode_default(dft)


def _expectation(made: JsonSchema) -> JsonSchema:
    """One of the probes, with the keys that it knows."""
    return {
        "title": made["title"],
        "description": made["description"],
        "type": "object",
        "required": ["probe"],
        # Not a oneOf of them all: an editor then says what is wrong with the probe that is named.
        "properties": {"probe": {"enum": sorted(PROBES)}, "where": {"$ref": "#/$defs/Where"}},
        "allOf": [
            {"if": {"properties": {"probe": {"const": name}}}, "then": _keys(PROBES[name])} for name in sorted(PROBES)
        ],
    }


def _keys(probe: Probe) -> JsonSchema:
    asked: JsonSchema = {
        key: {"type": ["string", "integer", "boolean"]} for key in sorted(probe.parameters | probe.optional)
    }
    read: JsonSchema = {key: {"$ref": "#/$defs/Wanted"} for key in sorted(probe.fields - asked.keys())}
    return {
        "properties": {"probe": True, "where": True, **asked, **read},
        "required": sorted(probe.parameters),
        "additionalProperties": False,
    }
