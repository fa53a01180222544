"""ClickHouse's lexical rules: where a query's words, strings and comments begin and end.

Only what the HTTP front must know about a text is decided here; its meaning is the engine's affair.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
    (?P<space>[\s\u200b-\u200d\u2060\ufeff]++)
  | (?P<comment>--[^\n]*+|\#(?=[\x20!])[^\n]*+|/\*.*?(?:\*/|\Z))
  | (?P<heredoc>\$\w*+\$)
  | (?P<string>'(?:[^'\\]++|\\.|'')*+(?:'|\Z)|\u2018[^\u2019]*+(?:\u2019|\Z))
  | (?P<quoted>"(?:[^"\\]++|\\.|"")*+(?:"|\Z)
              |`(?:[^`\\]++|\\.|``)*+(?:`|\Z)
              |\u201c[^\u201d]*+(?:\u201d|\Z))
  | (?P<word>[A-Za-z_$][A-Za-z0-9_$]*+)
  | (?P<number>[0-9][A-Za-z0-9_]*+)
  | (?P<mark>.)
    """,
    re.DOTALL | re.VERBOSE,
)
_HEREDOC_MARK = re.compile(r"(?=(\$\w*+\$))")
_WORD_AT_DOLLAR = re.compile(r"[$][A-Za-z0-9_$]*+")
_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "0": "\0", "a": "\a", "v": "\v"}


@dataclass(frozen=True)
class Token:
    """One significant token: its kind, its text as written, and where it stands."""

    kind: str
    text: str
    start: int
    end: int

    def is_word(self, *words: str) -> bool:
        """True when this is one of the given keywords (upper case), unquoted."""
        return self.kind == "word" and self.text.upper() in words

    @property
    def name(self) -> str:
        """The identifier or string this token spells, without quotes and escapes."""
        if self.kind not in ("quoted", "string") or len(self.text) < 2:
            return self.text
        mark, inner = self.text[0], self.text[1:-1]
        if mark in "\u2018\u201c":
            return inner
        inner = inner.replace(mark * 2, mark)
        return re.sub(r"\\(.)", lambda m: _ESCAPES.get(m[1], m[1]), inner, flags=re.DOTALL)


def tokens(text: str) -> list[Token]:
    """Every token of the text except white space and comments."""
    # Known beforehand, or every mark that nothing closes would cost a search to the text's end.
    last = {match[1]: match.start() for match in _HEREDOC_MARK.finditer(text)}
    found = []
    at = 0
    while match := _TOKEN.match(text, at):
        kind, begin, at = match.lastgroup, *match.span()
        if kind == "heredoc":
            mark = match[0]
            if last[mark] >= at:
                at = text.index(mark, at) + len(mark)
            elif word := _WORD_AT_DOLLAR.match(text, begin):
                kind, at = "word", word.end()
        if kind not in ("space", "comment") and kind is not None:
            found.append(Token(kind, text[begin:at], begin, at))
    return found
