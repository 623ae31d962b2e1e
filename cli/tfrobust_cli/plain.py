"""Output to terminals and files that cannot show every character."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

_HANDLER = "tfrobust_plain"
# What tables, messages and our own names hold; anything else is taken apart or spelled out.
_SIMPLER = {
    "…": "...", "–": "-", "—": "-", "−": "-", "×": "x", "≥": ">=", "≤": "<=", "→": "->", "·": ".",
    "ε": "eps", "σ": "sigma", "µ": "u", "‘": "'", "’": "'", "“": '"', "”": '"', "•": "*",
    "∞": "inf", "━": "-", "╸": "-", "╺": "-", "ß": "ss",
}  # fmt: skip
_BRAILLE = range(0x2800, 0x2900)  # frames of a spinner


def write_what_can_be_shown() -> None:
    """Let stdout and stderr take every character, however little their encoding can show.

    A figure in a table must not be lost, after all the work, because a code page lacks a dash. What
    an encoding lacks is written simpler, `-` for `–`; what has nothing simpler is spelled out.
    """
    codecs.register_error(_HANDLER, _simpler)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_HANDLER)


def _simpler(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    return "".join(map(_written, lacking)), error.end


def _written(character: str) -> str:
    if character in _SIMPLER:
        return _SIMPLER[character]
    if ord(character) in _BRAILLE:
        return "*"
    parts = unicodedata.normalize("NFKD", character)
    letters = "".join(part for part in parts if part.isascii())
    if letters and character.isalpha():
        return letters
    return character.encode("ascii", "backslashreplace").decode()
