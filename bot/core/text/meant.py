"""What somebody most likely meant by a word that is none: a suggestion, never more. Knows nothing of what is done."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches

_NEAR = 0.8
"""How alike two words are (difflib's ratio), at least; 0.75 would take please for release."""

_LONGEST = 80
_NUMBER = re.compile(r"[0-9]+")


def near(typed: str, known: Iterable[str]) -> str:
    """The known word that is nearest to what was typed, whatever its case; empty where none is near.

    Letters in another order are near, too: two that are turned make much of a short word. A word with another number
    in it is near to none: backend-9 is another host, and no slip of backend-3.
    """
    if len(typed) > _LONGEST:
        return ""
    numbers = _numbers(typed)
    word = typed.lower()
    folded = {one.lower(): one for one in known if _numbers(one) == numbers}
    turned = [one for one in folded if sorted(one) == sorted(word)]
    found = turned or get_close_matches(word, folded, n=1, cutoff=_NEAR)
    return folded[found[0]] if found else ""


def _numbers(word: str) -> list[int]:
    return [int(number) for number in _NUMBER.findall(word)]
