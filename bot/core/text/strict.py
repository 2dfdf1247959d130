"""The base of what people write in files, as pydantic reads it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """A part of such a file: no key that is not known, and nothing in it changes once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
