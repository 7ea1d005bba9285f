"""One text at a time: its folded form and hash, and the oddities that rules can tell.

Texts are compared folded: control characters, lone surrogates, case and runs of spaces do not
count.
"""

import hashlib
import re

CONTROL_SPACES = "\x0b\x0c\x1c\x1d\x1e\x1f\x85"  # control characters that part words
_CONTROLS = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_CONTROL = re.compile(f"[{_CONTROLS}]")
_LATIN_1 = re.compile("[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_SURROGATE = re.compile("[\ud800-\udfff]")
# UTF-8 read as Latin-1 or Windows-1252: lead byte C2, C3, E2 or F0 and a byte that may follow it.
_FOLLOWS = (
    "\x80-\xbf\u0152\u0153\u0160\u0161\u0178\u017d\u017e\u0192\u02c6\u02dc\u2013-\u203a\u20ac\u2122"
)
_MOJIBAKE = re.compile(f"Ã[{_FOLLOWS}]|Â[\xa0-\xbf]|â[\x80€][{_FOLLOWS}]|ï»¿|ðŸ|ï¿½")
LONG_WORD = 100  # letters and digits without a break; in Latin script, as others need no spaces
_LONG = re.compile(f"[A-Za-z0-9\xc0-\u024f]{{{LONG_WORD},}}")
_NON_LATIN = re.compile(r"[^\W\d_A-Za-z\xaa\xba\xc0-\u024f\u1e00-\u1eff]")
_LETTER = re.compile(r"[^\W\d_]")

# What a tokenizer may take for a special token where a text writes it out.
SPECIAL = re.compile(r"\[(?:SEP|CLS|PAD|MASK|UNK)\]|</?s>|<pad>")
SEPARATOR = re.compile(r"\s*(?:\[SEP\]|</s>)\s*")
_LOWERED = re.compile(r"\[sep\]")
_NAN = re.compile(r"\s*nan\s*(?:\[sep\]|</s>)\s*", re.IGNORECASE)

# Where in a text a fault stands, to show that part of it.
PATTERNS = {
    "control_character": _CONTROL,
    "lone_surrogate": _SURROGATE,
    "replacement_character": re.compile("\ufffd"),
    "mojibake": _MOJIBAKE,
    "long_word": _LONG,
    "mostly_non_latin": _NON_LATIN,
    "special_in_document": SPECIAL,
}

_ASCII_CONTROLS = bytes(c for c in range(128) if _CONTROL.match(chr(c)))
_DROPPED = bytes(c for c in _ASCII_CONTROLS if chr(c) not in CONTROL_SPACES)
_FOLD = bytes(
    c + 32 if 65 <= c <= 90 else 32 if chr(c) in "\t\n\r" + CONTROL_SPACES else c
    for c in range(256)
)


def fold(text: str) -> bytes:
    """The form in which texts are compared; empty for a text that says nothing."""
    if text.isascii():
        folded = text.encode("ascii").translate(_FOLD, _DROPPED).strip()
        return b" ".join(folded.split()) if b"  " in folded else folded
    return " ".join(clean(text).casefold().split()).encode("utf-8")


def digest(folded: bytes) -> bytes:
    """8 bytes. Two of n different texts share them with a chance of about n^2 / 2^65."""
    return hashlib.blake2b(folded, digest_size=8).digest()


def without_controls(text: str) -> str:
    """The text without control characters; those that part words become a space.

    UTF-8 read as Latin-1 holds some, too: such runs become the character that they were.
    """
    if not _CONTROL.search(text):
        return text
    if not text.isascii():
        text = _LATIN_1.sub(_restored, text)
    return _CONTROL.sub(lambda found: " " if found[0] in CONTROL_SPACES else "", text)


def _restored(found: re.Match[str]) -> str:
    try:
        character = found[0].encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return found[0]
    return character if _CONTROL.search(found[0]) else found[0]


def clean(text: str) -> str:
    """Without control characters and without lone surrogates, which no UTF-8 file can hold."""
    text = without_controls(text)
    return text if text.isascii() else _SURROGATE.sub("", text)


def oddities(text: str, folded: bytes) -> list[str]:
    """The names of what is odd about a text; `folded` is its folded form."""
    found = []
    if _spaceless(folded) and _LONG.search(text):
        found.append("long_word")
    if text.isascii():
        raw = text.encode("ascii")
        if len(raw.translate(None, _ASCII_CONTROLS)) != len(raw):
            found.append("control_character")
        return found
    if _CONTROL.search(text):
        found.append("control_character")
    if _SURROGATE.search(text):
        found.append("lone_surrogate")
    if "\ufffd" in text:
        found.append("replacement_character")
    if _MOJIBAKE.search(text):
        found.append("mojibake")
    if non_latin_share(text) > 0.5:
        found.append("mostly_non_latin")
    return found


def _spaceless(folded: bytes) -> bool:
    """Whether a long word is possible: cheap, as the rule itself costs far more than hashing."""
    half = LONG_WORD // 2  # a long word covers at least one whole half-word block
    return any(
        folded.find(b" ", start, start + half) < 0
        for start in range(0, len(folded) - half + 1, half)
    )


def non_latin_share(text: str) -> float:
    """Letters outside the Latin script, of all letters."""
    if text.isascii() or not _NON_LATIN.search(text):
        return 0.0
    letters = len(_LETTER.findall(text))
    return len(_NON_LATIN.findall(text)) / letters if letters else 0.0


def separator_oddities(query: str, instruction: str | None) -> list[str]:
    """What went wrong where an instruction was joined to a query."""
    found = []
    if (instruction or "").strip().lower() == "nan" or _NAN.match(query):
        found.append("nan_instruction")
    if "[" not in query and "<" not in query:
        return found
    if _LOWERED.search(query):
        found.append("lowered_separator")
    parts = SEPARATOR.split(query)
    if len(parts) == 1:
        return found
    if not parts[0].strip():
        found.append("leading_separator")
    if not parts[-1].strip() and any(part.strip() for part in parts):
        found.append("trailing_separator")
    if any(not part.strip() for part in parts[1:-1]):
        found.append("repeated_separator")
    if instruction and parts[0].strip() == instruction.strip():
        found.append("instruction_twice")
    return found


def without_nan(query: str) -> str:
    """The query without `nan [SEP] `, what an empty instruction cell read as a number left."""
    return _NAN.sub("", query, count=1) if _NAN.match(query) else query


def without_leading_separator(query: str) -> str:
    found = SEPARATOR.match(query)
    while found:
        query = query[found.end() :]
        found = SEPARATOR.match(query)
    return query


def bare_query(query: str) -> str | None:
    """What follows the first separator: the query of `instruction [SEP] query`; None without."""
    if "[SEP]" not in query and "</s>" not in query:
        return None
    return SEPARATOR.split(query, maxsplit=1)[1]
