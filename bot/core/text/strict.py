"""The base of what people write in files, as pydantic reads it, and of what facts keep of that."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """One part of it: no key that is not known, and nothing in it changes once it is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
