"""Message catalogues: from .po, which people write, to .mo, which gettext reads. Pure.

What `msgfmt` does, for the part of the format that our own files use: it is on few
machines, and nothing may have to be installed by hand.
"""

from __future__ import annotations

import ast
import re
import struct
from collections.abc import Iterator, Mapping

MAGIC = 0x950412DE
CONTEXT_END, PLURAL_END = "\x04", "\0"
KEYWORD = re.compile(r'(msgctxt|msgid|msgid_plural|msgstr(?:\[\d\])?) (".*")')
# A comment that says what no translator has seen: such an entry does not count.
FUZZY = re.compile(r"#,.*\bfuzzy\b")


def parse(text: str) -> dict[str, str]:
    """The translations of a .po file by their key in a .mo file.

    Raises ValueError, with the line, for what is not understood or given twice.
    """
    entries: dict[str, str] = {}
    for line, entry in _entries(text):
        key = entry.get("msgctxt", "") + CONTEXT_END if "msgctxt" in entry else ""
        key += entry["msgid"]
        if "msgid_plural" in entry:
            key += PLURAL_END + entry["msgid_plural"]
        forms = [entry[name] for name in sorted(entry) if name.startswith("msgstr")]
        if key in entries:
            raise ValueError(f"line {line}: this message is there twice")
        if not all(forms):
            raise ValueError(f"line {line}: this message has no translation")
        entries[key] = PLURAL_END.join(forms)
    return entries


def _entries(text: str) -> Iterator[tuple[int, dict[str, str]]]:
    """Entries, which blank lines divide, with the line they begin in."""
    entry: dict[str, str] = {}
    keyword, began = "", 1
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if not line:
            if entry:
                yield began, entry
            entry, keyword, began = {}, "", number + 1
        elif FUZZY.match(line):
            raise ValueError(f"line {number}: a fuzzy message waits for a translator")
        elif found := KEYWORD.fullmatch(line):
            keyword = found[1]
            entry[keyword] = ast.literal_eval(found[2])
        elif keyword and line.startswith('"'):
            entry[keyword] += ast.literal_eval(line)
        elif not line.startswith("#"):
            raise ValueError(f"line {number}: not understood")


def compiled(entries: Mapping[str, str]) -> bytes:
    """The bytes of a .mo file: the same for the same entries (GNU gettext, 10.3)."""
    pairs = sorted((k.encode(), v.encode()) for k, v in entries.items())
    start = 7 * 4 + 2 * 8 * len(pairs)
    tables, strings = [b"", b""], b""
    for column in (0, 1):
        for pair in pairs:
            text = pair[column]
            tables[column] += struct.pack("<II", len(text), start + len(strings))
            strings += text + b"\0"
    count = len(pairs)
    header = (MAGIC, 0, count, 7 * 4, 7 * 4 + 8 * count, 0, start)
    return struct.pack("<7I", *header) + tables[0] + tables[1] + strings
