"""Keeps secrets out of the journal, the thread and the logs: the one place that knows how a secret looks.

Line by line and each line only so long, so that no output of a host can keep the bot busy.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, takewhile

REDACTED = "(hidden)"

_LINE = 2_000
_OF_WHAT = r"(?:(?:api|access|account|private|secret|shared)[_-]?|[a-z0-9][_-])"
_TICKET = r"(?<![\w-])tickets?(?:\s{0,4}[:=]?\s{0,4}[\"“]?(?:[A-Za-z]{1,10}-|#)?\d{1,10}(?![\w-])|=…(?!\w))"
"""A ticket of people's own, as OPS-4711, and how it is typed: no secret, other than one of TLS."""
_WORD = (
    rf"(?:pass(?:wd|word|phrase)?|pw(?![a-z])|(?<![!:])psk(?![a-z])|pwd|secret|{_OF_WHAT}key|nonce|token"
    rf"|(?!{_TICKET})ticket|credentials?)"
)
_WORDS = ("pass", "pw", "psk", "secret", "key", "nonce", "token", "ticket", "credential")
"""What every such word has in it: a search for them is cheap, and most lines have none."""
_NAMED = rf"{_WORD}[\w\"']{{0,20}}"
_SHOWN = r"(?![\s<]*<|\(hidden\))"
"""A path that a value is read from is no secret, and what is hidden already is not hidden once more."""
_WHOLE = re.compile(rf"(?i)^([ +-]?\s{{0,80}}[\w.\"'-]{{0,60}}{_NAMED}\s{{0,40}}[=:]\s{{0,40}}){_SHOWN}\S.*$")
_AFTER_COLON = re.compile(rf"(?i)({_NAMED}\s{{0,40}}:\s{{0,40}}){_SHOWN}\S.*$")
_AFTER_EQUALS = re.compile(rf"""(?i)({_NAMED}\s{{0,40}}=\s{{0,40}}){_SHOWN}("[^"]*"|'[^']*'|[^\s&;]+)""")
_SPACED = re.compile(rf"(?i)(\b\w{{0,40}}{_WORD}\s+)(?![=:<{{(])(\S+)$")
_SCHEMES = (
    r"plain|clear|cleartext|crypt|(?:des|md5|blf|sha\d*)-crypt|(?:(?:plain|ldap|digest|cram|hmac)-|s)?md5|s?sha\d*"
    r"|lanman|ntlm|otp|skey|rpa|scram-sha-\d+|argon2\w{0,3}|pbkdf2|bcrypt"
)
_SCHEME = re.compile(rf"\{{(?:[A-Z][A-Z0-9._-]{{1,40}}|(?i:(?:{_SCHEMES})(?:\.(?:b64|hex|base64))?))\}}[^\s:]+")
_PASSWD = re.compile(r"^([ +-]?(?![0-9a-fA-F]{1,4}:)[\w.@+-]{1,80}:)(?!\(hidden\))[^:\s]{1,200}(?=:\d*:\d*(?::|$))")
"""A line of a list of passwords, as its numbers or their places show."""
_LOGIN = re.compile(r"^([ +-]?[\w.+-]{1,64}@[\w.-]{1,100}:)(?![/(])[^\s:]{1,200}(?=:|$)")
_FULL_LINE = 60
_BODY = re.compile(r"[ +-]?(?=\S*[A-Z])(?=\S*[a-z])(?=\S*[0-9])[A-Za-z0-9+/]{60,76}={0,2}\s*")
_END_OF_BODY = re.compile(r"[ +-]?[A-Za-z0-9+/]{1,76}={0,2}\s*")
_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,20}://[^\s:/@]{0,100}:)[^\s@]{1,300}@")
_CRYPT = re.compile(r"\$(?:1|5|6|7|y|gy|2[abxy]?|argon2\w{0,3}|pbkdf2[\w-]{0,20}|scrypt)\$[^\s:]+")
_HEADER = re.compile(r"(?i)\b(authorization\s?[:=]\s?\w{1,20}\s+)\S+")
_BEARER = re.compile(r"\b(xox[a-z]-|xapp-|Bearer\s+)[A-Za-z0-9._-]{6,}")
_PEM_BEGIN = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY(?: BLOCK)?-----")
_PEM_END = re.compile(r"-----END [A-Z ]*PRIVATE KEY(?: BLOCK)?-----")


def redact(text: str, *, whole: bool = False) -> str:
    """The text with every value hidden that looks like a secret: settings, DSNs, hashes, URLs, tokens, private keys.

    Lines of more than 2,000 characters are cut unless they are to be had `whole`.
    """
    return "\n".join(_lines_redacted(text.split("\n"), whole=whole))


def redact_ends(text: str, limit: int) -> str:
    """What shorten shows of the redacted text, and only its ends are redacted, as a long middle would take seconds.

    It is parted between lines: a part of one would lack the word by which its secret is known.
    """
    text = text.strip("\n")
    lines = text.split("\n")
    first, last = _until(lines, limit), len(lines) - _until(lines[::-1], limit)
    if first >= last:
        return shorten(redact(text), limit)
    head, tail = lines[:first], lines[last:]
    between = len(text) - len("\n".join(head)) - len("\n".join(tail))
    shown = "\n".join(_lines_redacted(head))
    # A key that begins in the middle may reach into the end.
    in_key, in_body = _in_key_after(lines[:last]), _is_body(lines[last - 1])
    return _ends(shown, between, "\n".join(_lines_redacted(tail, in_key=in_key, in_body=in_body)), limit)


def _lines_redacted(
    lines: Sequence[str], *, whole: bool = False, in_key: bool = False, in_body: bool = False
) -> Iterator[str]:
    """`in_key`, `in_body`: whether what stands before them is a part of a private key."""
    for line in lines:
        # A part of a key has no line that says so: a full line of base64, and what follows as its last one.
        was_body, in_body = in_body, _is_body(line)
        if in_key:
            in_key = not _PEM_END.search(line)
        elif in_body or (was_body and _END_OF_BODY.fullmatch(line)):
            yield REDACTED
        elif "-----BEGIN" in line and _PEM_BEGIN.search(line):
            yield f"(private key {REDACTED})"
            in_key = not _PEM_END.search(line)
        else:
            yield _redacted(line if whole else _cut(line))


def _is_body(line: str) -> bool:
    return len(line) >= _FULL_LINE and bool(_BODY.fullmatch(line))


def _in_key_after(lines: Sequence[str]) -> bool:
    in_key = False
    for line in lines:
        if "-----" in line and (in_key or _PEM_BEGIN.search(line)):
            in_key = not _PEM_END.search(line)
    return in_key


def _until(lines: Sequence[str], room: int) -> int:
    """How many of these lines have so many characters together; all, where they have fewer."""
    short = takewhile(lambda size: size < room, accumulate(len(line) + 1 for line in lines))
    return min(sum(1 for _ in short) + 1, len(lines))


def redact_in_words(text: str) -> str:
    """The same for the bot's own sentences, which may speak of a token: what they say of it after a colon stays."""
    lines = text.split("\n")
    return "\n".join(_AFTER_EQUALS.sub(_value_redacted, _surely_redacted(line, line.casefold())) for line in lines)


def holds_token(text: str) -> bool:
    """Whether something in it looks like a token or a hash, which nothing that people name looks like."""
    return any(pattern.search(text) for pattern in (_BEARER, _CRYPT))


_SECRET_FOLDERS = frozenset({"private", "secrets"})
_SECRET_ENDS = (".key", ".pem", ".p12", ".pfx", ".der", ".jks", ".keytab")
_SECRET_NAMES = re.compile(r"passwd|shadow|passphrase|password|secret|credential|token|(^|[-_.])users?$")


def is_secret(path: str) -> bool:
    """Whether a file is secret by its name: in `private/`, a key, a list of passwords; no `*.conf*` of that name."""
    *folders, name = path.lower().split("/")
    named = bool(_SECRET_NAMES.search(name)) and ".conf" not in name
    return named or name.endswith(_SECRET_ENDS) or not _SECRET_FOLDERS.isdisjoint(folders)


def _cut(line: str) -> str:
    return line if len(line) <= _LINE else f"{line[:_LINE]}… ({len(line) - _LINE} characters left out)"


def _redacted(line: str) -> str:
    folded = line.casefold()
    line = _surely_redacted(line, folded)
    if ":" in line:
        line = _PASSWD.sub(_value_redacted, _LOGIN.sub(_value_redacted, line))
    return _settings_redacted(line) if _has(folded, _WORDS) else line


def _surely_redacted(line: str, folded: str) -> str:
    """What is a secret wherever it stands. Most lines have nothing of it: to look for a sign of it first is cheap."""
    if "{" in line:
        line = _SCHEME.sub(REDACTED, line)
    if "$" in line:
        line = _CRYPT.sub(REDACTED, line)
    if "authorization" in folded:
        line = _HEADER.sub(_value_redacted, line)
    if "://" in line:
        line = _URL.sub(rf"\g<1>{REDACTED}@", line)
    return _BEARER.sub(REDACTED, line) if _has(folded, ("xox", "xapp-", "bearer")) else line


def _value_redacted(found: re.Match[str]) -> str:
    """Its name stays; as a function, since a template is read anew for every line."""
    return f"{found[1]}{REDACTED}"


def _has(folded: str, words: tuple[str, ...]) -> bool:
    """Whether one of them stands in it."""
    for word in words:  # noqa: SIM110  a generator takes three times as long, and this is asked of every line
        if word in folded:
            return True
    return False


def _settings_redacted(line: str) -> str:
    for setting in (_WHOLE, _AFTER_EQUALS, _AFTER_COLON):
        line = setting.sub(_value_redacted, line)
    return line if REDACTED in line else _SPACED.sub(_value_redacted, line)


def shorten(text: str, limit: int) -> str:
    """At most `limit` characters, the middle left out, with a note."""
    text = text.strip("\n")
    if len(text) <= limit:
        return text
    half = limit // 2
    return _ends(text[:half], len(text) - 2 * half, text[-half:], limit)


def _ends(head: str, between: int, tail: str, limit: int) -> str:
    """The first of the head and the last of the tail; `between`: how many characters stand between the two."""
    half = limit // 2 - 20
    left_out = between + max(len(head) - half, 0) + max(len(tail) - half, 0)
    return f"{head[:half]}\n… ({left_out} characters left out)\n{tail[-half:]}"
