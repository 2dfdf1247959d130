"""What a row has in the place of a run's id where a stranger, or a failing disk, has spoilt it: bytes, or no UTF-8.

It has to be reported as damaged, and must not keep the others from being listed: so it gets a name that no run has.
"""

from __future__ import annotations

import re

from sqlalchemy import ColumnElement, LargeBinary, cast, literal

_BYTES = re.compile(r"x'((?:[0-9a-f]{2})*)'")
_ESCAPED = re.compile(rb"\\x([0-9a-f]{2})")

_FIRST = literal(b"", LargeBinary)
"""All bytes are sorted behind all text."""


def shown(found: object) -> str:
    """What stands there, as a text; bytes as SQL writes them."""
    return f"x'{found.hex()}'" if isinstance(found, bytes) else str(found)


def is_one(run: str) -> bool:
    """Whether it can be a run's id, and not what stands in the place of one."""
    return not ("'" in run or "\\" in run)


def is_text(column: ColumnElement[str]) -> ColumnElement[bool]:
    """The rows that have a text there."""
    return column < _FIRST


def is_bytes(column: ColumnElement[str]) -> ColumnElement[bool]:
    """The rows that have bytes there."""
    return column >= _FIRST


def is_of(column: ColumnElement[str], run: str) -> ColumnElement[bool]:
    """The rows of a run, or of what stands in the place of one."""
    if found := _BYTES.fullmatch(run):
        return column == literal(bytes.fromhex(found[1]), LargeBinary)
    if "\\" in run:  # text that is no UTF-8, as database.py reads it
        text = _ESCAPED.sub(lambda found: bytes.fromhex(found[1].decode()), run.encode(errors="surrogatepass"))
        return cast(column, LargeBinary) == literal(text, LargeBinary)
    return column == run
