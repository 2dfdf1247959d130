"""Text of others before it is shown: nothing stays that nobody sees, and a line is one line."""

from __future__ import annotations

import sys
import unicodedata
from unicodedata import category

from bot.core.text.shown import in_line, in_lines, set_in

SEEN = {"\u0600", "\u0601", "\u0602", "\u0603", "\u0604", "\u0605", "\u06dd", "\u070f", "\u0890", "\u0891", "\u08e2"}
"""Of the category of unseen signs, though they are seen: they stand around numbers in Arabic and Syriac."""

EVERY = [chr(point) for point in range(0x10000)] + [chr(point) for point in range(0xE0000, 0xE1000)]


def test_nothing_stays_that_nobody_sees_that_moves_a_cursor_or_turns_writing_round() -> None:
    unseen = {one for one in EVERY if category(one) in {"Cc", "Cf", "Cs", "Zl", "Zp"}} - SEEN
    assert set(in_lines("".join(unseen))) == {"\n", "\t"}
    assert in_line("a".join(unseen)).replace("a", "").strip() == ""


def test_every_character_that_is_seen_stays() -> None:
    blocks = ("".join(map(chr, range(first, first + 256))) for first in range(0, sys.maxunicode, 256))
    changed = ((block, shown) for block in blocks if (shown := in_lines(block)) != block)
    lost = {one for block, shown in changed for one in set(block) - set(shown) if category(one)[0] in "LNPS"}
    assert {unicodedata.name(one) for one in lost} <= {
        *("HANGUL CHOSEONG FILLER", "HANGUL JUNGSEONG FILLER", "HANGUL FILLER", "HALFWIDTH HANGUL FILLER"),
        *("BRAILLE PATTERN BLANK", "MONGOLIAN TODO SOFT HYPHEN"),
    }


def test_whatever_ends_a_line_ends_it_once_and_lines_are_set_in() -> None:
    assert in_lines("a\r\nb\rc\x0bd\x0ce\x85f\u2028g\u2029h") == "a\nb\nc\nd\ne\nf\ng\nh"
    assert in_line(" a \n\n b\u2028c ") == "a b c"
    assert set_in("a\r\n\nb") == "    a\n    \n    b"
