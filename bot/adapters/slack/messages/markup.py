"""Text in Slack's markup: pure. Here alone is decided what may be markup in a text that is not the bot's own.

What a host printed or a person typed stands in a code span (`inline`) or a code block (`shortened`), where Slack finds
no mention, link, emoji, style or line of the bot's own; see `MessageBuilder.quote`. Where a sentence of the bot's
holds such text, `escape` and `prose` make it inert.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from bot.core.text.shown import in_line, in_lines

SECTION = 2_900
"""Characters of one text: a little under Slack's 3,000."""

BLOCK = 1_500
"""Characters of a code block by default."""

SPAN = 600
"""Characters of a code span by default."""

_HEAD, _TAIL = 4, 10
_LOUD = re.compile(r"@(?=(?:here|channel|everyone|group)\b)", re.IGNORECASE)
_AHEAD = 20
"""So many characters are looked at behind one that is escaped, at most."""
_LONGEST_ESCAPE = len("&amp;")
_STYLES = {"*": "∗", "`": "ˋ", "~": "∼"}
"""Slack knows no escape for these: what looks like them has to do."""
_QUOTE = re.compile(r"^>")
# Each begins with a character of its own, for which a long text is searched fast.
_UNDERLINE = re.compile(r"_(?:(?<![^\W_]_)|(?![^\W_]))")
_SIGN_CODE = re.compile(r":(?:(?<![0-9a-f:]:)(?=[\w+'-]+(?::|$))|(?=[\w+'-]*[g-z_+'-][\w+'-]*(?::|$)))", re.IGNORECASE)
"""A colon that an emoji's name follows; hexadecimal digits between others are a time or an address."""
_SPAN = re.compile(r"(?<![^\s(“])`([^`\s](?:[^`]*[^`\s])?)`(?![^\s.,;:?!)”])")
_MENTION = re.compile(r"&lt;(@[UW][A-Z0-9]{2,20})&gt;")
_DATED = re.compile(r"[0-9:]{8} UTC \(<!date\^[^|>]*\{date_num\}[^|>]*\|([^>]*)>\)")
_TOKEN = re.compile(r" \(<!date\^[^>]*>\)")
_SIGN = re.compile(r"^:[a-z_]+: ")
_DATE = re.compile(r"<!date\^[^|>]*\|([^>]*)>")


def _literal(text: str) -> str:
    """Text for a code span or block: no mention, no link, no date, no way to call everybody."""
    return _LOUD.sub("@\u200b", html.escape(text, quote=False))


def _inert(text: str) -> str:
    """Text outside of code: no style and no emoji in it either."""
    safe = _literal(_QUOTE.sub("›", text))
    for mark, like in _STYLES.items():
        safe = safe.replace(mark, like)
    return _SIGN_CODE.sub("∶", _UNDERLINE.sub("ˍ", safe))


def escape(text: str) -> str:
    """Somebody's text in a sentence, in one line, in which Slack finds nothing but words."""
    return _inert(in_line(text))


def unescaped(text: str) -> str:
    """What somebody typed, as they typed it: Slack has three signs in its own writing."""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def prose(text: str, people: Sequence[str] | None = (), *, most: int = 8_000, spans: bool = False) -> str:
    """A sentence of the bot's own that may hold somebody's text, behind words of the bot's.

    `<@ID>` at its beginning stays for these people; with None, everybody's anywhere: for what holds no text of others,
    or is seen by one person alone. `most` characters of it, before they are escaped; with `spans`, code stays code.
    """

    def allowed(found: re.Match[str]) -> str:
        stays = people is None or (found.start() == 0 and found[1][1:] in people)
        return f"<{found[1]}>" if stays else found[0]

    line = short(text, most)
    found, at = [], 0
    for span in _SPAN.finditer(line) if spans else ():
        found += [_inert(line[at : span.start()]), f"`{_literal(span[1])}`"]
        at = span.end()
    return _MENTION.sub(allowed, "".join([*found, _inert(line[at:])]))


def inline(text: str, most: int = SPAN) -> str:
    """Somebody's text in a code span, in one line, shortened."""
    return f"`{cut(in_line(text).replace('`', 'ˋ'), most) or ' '}`"


def cut(text: str, most: int) -> str:
    """Text for a code span or block, at most so long once it is escaped; what was cut away is shown as …"""
    safe = _literal(text[: most + _AHEAD])  # no character is left out there, so what is longer stays longer
    if len(safe) <= most:
        return safe
    fitting = safe[: most - 1]
    escaped = fitting.rfind("&", -_LONGEST_ESCAPE)
    if escaped >= 0 and ";" not in fitting[escaped:]:
        fitting = fitting[:escaped]  # a character's escape is shown whole or not at all
    return fitting + "…"


def short(text: str, most: int) -> str:
    """Plain text (buttons, headers, dialogs: never read as markup) of at most so many characters."""
    line = in_line(text)
    return line if len(line) <= most else line[: most - 1] + "…"


def shortened(text: str, most: int = BLOCK) -> tuple[str, int]:
    """Text for a code block, escaped, first and last lines kept; and how many lines are left out or cut."""
    lines = in_lines(text).replace("```", "'''").strip("\n").split("\n")
    fitting, left = lines, 0
    if len(lines) > _HEAD + _TAIL + 1:
        left = len(lines) - _HEAD - _TAIL
        fitting = lines[:_HEAD] + lines[-_TAIL:]
    room = most // len(fitting)
    long = len(_literal("\n".join(fitting))) > most
    shown = [cut(line, max(room, 40)) if long else _literal(line) for line in fitting]
    left += sum(1 for line, part in zip(fitting, shown, strict=True) if part != _literal(line))
    if len(lines) > len(fitting):
        shown.insert(_HEAD, f"… ({len(lines) - len(fitting)} more lines, in the file)")
    return "\n".join(shown), left


def pieces(text: str) -> list[str]:
    """Text in pieces that fit a section each, cut between lines or words where there are any, never in span or date."""
    found: list[str] = []
    while len(text) > SECTION:
        at = SECTION
        while at > 0 and (text[at] not in "\n " or _in_one(text, at)):
            at -= 1
        if at <= 0:
            # Not inside of an escape such as &amp;
            at = max(text.rfind("&", SECTION - 6, SECTION), 0) or SECTION
        found.append(text[:at])
        text = text[at:].lstrip("\n ")
    return [*found, text] if text else found


def _in_one(text: str, at: int) -> bool:
    """Whether what is cut there is a code span, or a mention or date: in no text of others is a < left as it is."""
    return bool(text.count("`", 0, at) % 2) or text.rfind("<", 0, at) > text.rfind(">", 0, at)


def without_markup(markup: str) -> str:
    """Safe markup as plain text, for a file."""
    return in_lines(html.unescape(_DATE.sub(r"\1", markup)))


def spoken(markup: str) -> str:
    """The words of a line without signs, stars and date tokens, which a screen reader would spell; the date stays."""
    parts = _IN_SPANS.split(markup)  # every second one is a span, whose text is somebody's and stays
    return "".join(part if at % 2 else _plain(part) for at, part in enumerate(parts))


_IN_SPANS = re.compile(r"(`[^`\n]+`)")


def _plain(markup: str) -> str:
    return _SIGN.sub("", _TOKEN.sub("", _DATED.sub(r"\1", markup))).replace("*", "")
