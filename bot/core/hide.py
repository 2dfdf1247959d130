"""Keeps secrets out of the journal, the thread and the logs: the one place that knows how a secret looks."""

from __future__ import annotations

import re

_SETTING = re.compile(
    r"""(?im)^([+\- \t]*[\w/.{} -]*
        (?:pass(?:wd|word|phrase)?|secret|api_?key|nonce|token|dn_?pass|private_key|credential)s?
        \w*\s*[=:]\s*)(?!\s*<)\S.*$""",
    re.VERBOSE,
)
_CONNECT = re.compile(r"(?i)\b(password|passwd|pwd|secret|token)=[^\s&;'\"]+")
_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+@")
_BEARER = re.compile(r"\b(xox[a-z]-|xapp-|Bearer\s+)[A-Za-z0-9._-]{6,}")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL)

HIDDEN = "(hidden)"


def hide(text: str) -> str:
    """The text with every value hidden that looks like a secret: Dovecot settings, DSNs, URLs, tokens, private keys."""
    text = _PEM.sub(f"(private key {HIDDEN})", text)
    text = _SETTING.sub(rf"\g<1>{HIDDEN}", text)
    text = _CONNECT.sub(rf"\g<1>={HIDDEN}", text)
    text = _URL.sub(rf"\g<1>{HIDDEN}@", text)
    return _BEARER.sub(HIDDEN, text)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the middle left out and said so."""
    text = text.strip("\n")
    if len(text) <= limit:
        return text
    half = limit // 2 - 20
    return f"{text[:half]}\n… ({len(text) - 2 * half} characters left out)\n{text[-half:]}"
