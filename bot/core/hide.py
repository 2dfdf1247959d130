"""Keeps secrets out of the journal, the thread and the logs: the one place that knows how a secret looks.

Line by line and each line only so long, so that no output of a host can keep the bot busy.
"""

from __future__ import annotations

import re

HIDDEN = "(hidden)"

_LINE = 2_000
_KEY = r"(?:api|access|account|private|secret|shared)[_-]?key"
_WORD = rf"(?:pass(?:wd|word|phrase)?|pwd|secret|{_KEY}|nonce|token|credentials?)"
_SETTING = re.compile(rf"(?i)([\w.\"'-]{{0,60}}{_WORD}[\w\"']{{0,20}}\s?[=:]\s?)(?!\s?<)\S.*$")
_SPACED = re.compile(rf"(?i)(\b\w{{0,40}}{_WORD}\s+)(?![=:<{{])(\S+)$")
_CONNECT = re.compile(r"""(?i)\b((?:password|passwd|pwd|secret|token)\s?=\s?)("[^"]*"|'[^']*'|[^\s&;]+)""")
_SCHEME = re.compile(r"\{(?:[A-Z][A-Z0-9._-]{1,40})\}[^\s:]+")
_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,100}:)[^\s@]{1,300}@")
_CRYPT = re.compile(r"\$(?:1|5|6|7|y|gy|2[abxy]?|argon2\w{0,3}|pbkdf2[\w-]{0,20}|scrypt)\$[^\s:]+")
_HEADER = re.compile(r"(?i)\b(authorization\s?[:=]\s?\w{1,20}\s+)\S+")
_BEARER = re.compile(r"\b(xox[a-z]-|xapp-|Bearer\s+)[A-Za-z0-9._-]{6,}")
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_PEM_END = re.compile(r"-----END [A-Z ]*PRIVATE KEY-----")


def hide(text: str) -> str:
    """The text with every value hidden that looks like a secret: settings, DSNs, hashes, URLs, tokens, private keys."""
    lines, in_key = [], False
    for line in text.split("\n"):
        if in_key:
            in_key = not _PEM_END.search(line)
        elif _PEM_BEGIN.search(line):
            lines.append(f"(private key {HIDDEN})")
            in_key = not _PEM_END.search(line)
        else:
            lines.append(_hidden(line))
    return "\n".join(lines)


def _hidden(line: str) -> str:
    if len(line) > _LINE:
        line = f"{line[:_LINE]}… ({len(line) - _LINE} characters left out)"
    line = _CRYPT.sub(HIDDEN, _SCHEME.sub(HIDDEN, line))
    line = _HEADER.sub(rf"\g<1>{HIDDEN}", line)
    line = _URL.sub(rf"\g<1>{HIDDEN}@", line)
    line = _CONNECT.sub(rf"\g<1>{HIDDEN}", line)
    line = _BEARER.sub(HIDDEN, line)
    if HIDDEN not in line:
        line = _SPACED.sub(rf"\g<1>{HIDDEN}", _SETTING.sub(rf"\g<1>{HIDDEN}", line))
    return line


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the middle left out and said so."""
    text = text.strip("\n")
    if len(text) <= limit:
        return text
    half = limit // 2 - 20
    return f"{text[:half]}\n… ({len(text) - 2 * half} characters left out)\n{text[-half:]}"
