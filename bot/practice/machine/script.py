"""Reading a small shell language: text to a script, or a `NotUnderstood`, before anything is run.

Words with quotes, parameters and "$(…)"; lists with ; and newlines; && and ||; { groups; }; !; redirections to
/dev/null or another output. What is not one of these (pipes, loops, conditions, background jobs) is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

_OPERATOR = re.compile(r"&&|\|\||;;|[;&|()\n]|\d?(?:>>|>&|<&|<>|<<|>|<)")
_PARAMETER = re.compile(r"\$(?:([A-Za-z_]\w*|[0-9?#])|\{([A-Za-z_]\w*|[0-9?#])\})")
_RESERVED = frozenset({"if", "then", "else", "elif", "fi", "for", "while", "until", "do", "done", "case", "esac", "[["})
_REDIRECTION = re.compile(r"\d?[<>]")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


class NotUnderstood(Exception):
    """The script is wrong, or beyond this small shell."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A part of a word: literal text, a parameter's name, or a script whose output is meant."""

    kind: Literal["text", "parameter", "output"]
    value: str
    quoted: bool


Word = tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """Output `number` goes to another output's place, or nowhere (None)."""

    number: int
    to: int | None


@dataclass(frozen=True, kw_only=True)
class Simple:
    """Assignments, and the words of one command."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Group:
    """A list between braces."""

    body: Script
    redirects: tuple[Redirect, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Not:
    """A command whose success is failure."""

    command: Command


@dataclass(frozen=True, kw_only=True)
class Chain:
    """Commands joined by && and ||; each is paired with the joint before it."""

    commands: tuple[tuple[Literal["", "&&", "||"], Command], ...]


Command = Simple | Group | Not
Script = tuple[Chain, ...]
Token = str | Word
"""An operator is a str, a word is a tuple."""


class _Reader:
    """Cuts text into operators and words."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def tokens(self) -> Iterator[Token]:
        while (begun := self._skip_blanks()) is not None:
            if (operator := _OPERATOR.match(self._text, begun)) is not None:
                self._at = operator.end()
                yield operator[0]
            else:
                yield self._word()

    def _skip_blanks(self) -> int | None:
        blank = re.compile(r"(?:[ \t]|\\\n)*(?:#[^\n]*)?").match(self._text, self._at)
        self._at = blank.end() if blank is not None else self._at
        return self._at if self._at < len(self._text) else None

    def _word(self) -> Word:
        pieces: list[Piece] = []
        while self._at < len(self._text) and self._text[self._at] not in " \t\n;&|()<>":
            match self._text[self._at]:
                case "'":
                    pieces.append(Piece(kind="text", value=self._until("'"), quoted=True))
                case '"':
                    pieces.extend(self._double_quoted())
                case _:
                    pieces.append(self._piece(quoted=False))
        return tuple(pieces)

    def _until(self, mark: str) -> str:
        end = self._text.find(mark, self._at + 1)
        if end < 0:
            raise NotUnderstood("Unterminated quoted string")
        inside, self._at = self._text[self._at + 1 : end], end + 1
        return inside

    def _double_quoted(self) -> Iterator[Piece]:
        self._at += 1
        yield Piece(kind="text", value="", quoted=True)
        while self._at < len(self._text):
            if self._text[self._at] == '"':
                self._at += 1
                return
            yield self._piece(quoted=True)
        raise NotUnderstood("Unterminated quoted string")

    def _piece(self, *, quoted: bool) -> Piece:
        here = self._text[self._at]
        if here == "`":
            raise NotUnderstood("backquotes are not understood here")
        if here == "\\":
            return self._escaped(quoted=quoted)
        if self._text.startswith("$(", self._at):
            return Piece(kind="output", value=self._parenthesised(), quoted=quoted)
        if (parameter := _PARAMETER.match(self._text, self._at)) is not None:
            self._at = parameter.end()
            return Piece(kind="parameter", value=parameter[1] or parameter[2], quoted=quoted)
        if self._text.startswith("${", self._at):
            raise NotUnderstood("Bad substitution")
        self._at += 1
        return Piece(kind="text", value=here, quoted=quoted)

    def _escaped(self, *, quoted: bool) -> Piece:
        after = self._text[self._at + 1 : self._at + 2]
        self._at += 2
        kept = "\\" if quoted and after not in set('$`"\\\n') else ""
        return Piece(kind="text", value=kept + after.replace("\n", ""), quoted=True)

    def _parenthesised(self) -> str:
        inner = _Reader(self._text)
        inner._at = begun = self._at + 2
        depth = 1
        for token in inner.tokens():
            depth += {"(": 1, ")": -1}.get(token, 0) if isinstance(token, str) else 0
            if depth == 0:
                self._at = inner._at
                source = self._text[begun : self._at - 1]
                read_script(source)
                return source
        raise NotUnderstood("Unterminated $(")


def literal(word: Token) -> str | None:
    """The text of a word that has neither quotes nor parameters; None for any other token."""
    if isinstance(word, str) or any(piece.quoted or piece.kind != "text" for piece in word):
        return None
    return "".join(piece.value for piece in word)


class _Parser:
    """Puts tokens together."""

    def __init__(self, tokens: list[Token]) -> None:
        self._left = tokens[::-1]

    def _next(self) -> Token | None:
        return self._left[-1] if self._left else None

    def script(self, *, closing: bool = False) -> Script:
        chains: list[Chain] = []
        while True:
            while self._next() == "\n":
                self._left.pop()
            token = self._next()
            if token is None or (closing and literal(token) == "}"):
                return tuple(chains)
            chains.append(self._chain())
            if self._next() in {";", "\n"}:
                self._left.pop()
            elif self._next() is not None:
                raise _unexpected(self._next())

    def _chain(self) -> Chain:
        commands: list[tuple[Literal["", "&&", "||"], Command]] = [("", self._command())]
        while (joint := self._next()) in {"&&", "||"}:
            self._left.pop()
            while self._next() == "\n":
                self._left.pop()
            commands.append(("&&" if joint == "&&" else "||", self._command()))
        return Chain(commands=tuple(commands))

    def _command(self) -> Command:
        word = literal(token) if (token := self._next()) is not None else None
        if word == "!":
            self._left.pop()
            return Not(command=self._command())
        if word == "{":
            self._left.pop()
            body = self.script(closing=True)
            if not body or self._next() is None:
                raise _unexpected(self._next())
            self._left.pop()
            return Group(body=body, redirects=tuple(self._redirects()))
        if word in _RESERVED or word == "}":
            raise NotUnderstood(f'"{word}" unexpected')
        return self._simple()

    def _simple(self) -> Simple:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while (token := self._next()) is not None:
            if isinstance(token, str):
                found = list(self._redirects())
                if not found:
                    break
                redirects += found
                continue
            self._left.pop()
            name = None if words else _assigned(token)
            if name is None:
                words.append(token)
            else:
                assignments.append((name, _rest_of(token, len(name) + 1)))
        if not words and not assignments:
            raise _unexpected(self._next())
        return Simple(
            assignments=tuple((name, _merged(word)) for name, word in assignments),
            words=tuple(map(_merged, words)),
            redirects=tuple(redirects),
        )

    def _redirects(self) -> Iterator[Redirect]:
        while isinstance(token := self._next(), str) and _REDIRECTION.match(token) is not None:
            self._left.pop()
            target = literal(self._left.pop()) if self._left else None
            number, operator = (int(token[0]), token[1:]) if token[0].isdigit() else (None, token)
            if operator == "<" and target == "/dev/null":
                continue
            if operator in {">", ">>"} and target == "/dev/null":
                yield Redirect(number=1 if number is None else number, to=None)
            elif operator == ">&" and target in {"1", "2"}:
                yield Redirect(number=1 if number is None else number, to=int(target))
            else:
                raise NotUnderstood(f'redirection "{token}" to anything but /dev/null is not understood here')


def _assigned(word: Word) -> str | None:
    """The name, when the word is an assignment."""
    text = "".join(piece.value if piece.kind == "text" and not piece.quoted else "\0" for piece in word)
    found = _ASSIGNMENT.match(text)
    return found[1] if found is not None else None


def _merged(word: Word) -> Word:
    """The same word, with text that was read character by character in one piece."""
    pieces: list[Piece] = []
    for piece in word:
        last = pieces[-1] if pieces else None
        if last and (last.kind, last.quoted) == (piece.kind, piece.quoted) == ("text", piece.quoted):
            pieces[-1] = replace(last, value=last.value + piece.value)
        else:
            pieces.append(piece)
    return tuple(pieces)


def _rest_of(word: Word, count: int) -> Word:
    """The word without its first characters, each of which is a piece of its own."""
    return word[count:]


def _unexpected(token: Token | None) -> NotUnderstood:
    if token is None:
        return NotUnderstood("end of file unexpected")
    shown = token if isinstance(token, str) else "".join(piece.value for piece in token)
    return NotUnderstood("newline unexpected" if shown == "\n" else f'"{shown}" unexpected')


@lru_cache(maxsize=512)
def read_script(text: str) -> Script:
    """The whole text as a script; raises `NotUnderstood`. The same few are read again and again."""
    return _Parser(list(_Reader(text).tokens())).script()
