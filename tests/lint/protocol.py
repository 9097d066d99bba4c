"""docs/protocol.md is made from messages.def and from the cores' tables of states.

protocol.py ROOT            is it current?
protocol.py ROOT --write    make it
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import schema
import states
import tree

PROTOCOL = "docs/protocol.md"
HEAD = """\
# Protocol

Made from `shared/wire/messages.def` and the tables of states in `coord/core` and `vassal/core` by
`tests/lint/protocol.py`; edit those files and not this one.

A message is one msgpack array: its id, then its fields in the order below. Ids are never reused and
fields are only ever appended: a receiver skips fields that it does not know and refuses a message
that has fewer than it knows. A value above its limit makes the whole message invalid.

| kind | msgpack | limit |
|---|---|---|
| `u64` | unsigned integer | greatest value |
| `i64` | integer | greatest magnitude |
| `str` | str, any bytes (UTF-8 with surrogateescape) | greatest length in bytes |
| `bin` | bin | greatest length in bytes |
| `x[]` | array of items `x`, each an array of its fields | greatest count |

Inside a node (socketpairs, a worker's ring) a message is preceded by its length, four bytes,
little-endian. Between nodes (ZeroMQ) it is the `body` of a `mesh` message, which travels as

| bytes | content |
|---|---|
| 2 | `DZ` |
| 1 | version of this format: 1 |
| 1 | id of the message in `body`, 0 without one: for people who read packet dumps |
| 4 | CRC32C, little-endian, of all other bytes |
| rest | the `mesh` message |

Times that end in `_us` are microseconds of CLOCK_MONOTONIC of the node that took them, `_ms` are
spans of milliseconds.
"""
PIECE = re.compile(
    r"/\* -{10,} (?P<section>.*?) \*/|/\*(?P<comment>.*?)\*/|\bDZ_(?P<what>ITEM|MSG)\((?P<rest>[^,]*,[^,)]*)",
    re.S,
)
LIMIT_NAMES = {value: name for name, value in schema.NAMED_LIMITS.items()}


def comments(root: Path) -> Iterator[tuple[str, str]]:
    """("section", title) and (name of an entry, the comment before it), in the order of the file."""
    text = (root / schema.DEFINITION).read_text()
    text = text[text.index("clang-format off */") :]
    last = ""
    for piece in PIECE.finditer(text):
        if piece["section"]:
            yield "section", piece["section"]
            last = ""
        elif piece["comment"]:
            last = " ".join(line.strip(" *") for line in piece["comment"].splitlines()).strip()
        else:
            words = re.findall(r"\w+", piece["rest"])
            yield words[1] if piece["what"] == "MSG" else words[0], last
            last = ""


def entry_lines(entry: schema.Entry, comment: str) -> Iterator[str]:
    title = f"{entry.name}" if entry.id is None else f"{entry.id} {entry.name}"
    yield f"### {title}\n"
    if comment:
        yield comment + "\n"
    if entry.fields:
        yield "| field | kind | limit |\n|---|---|---|"
        for field in entry.fields:
            limit = LIMIT_NAMES.get(field.limit, f"{field.limit}")
            yield f"| `{field.name}` | `{field.kind}` | {limit} |"
        yield ""


def render(root: Path) -> str:
    entries: dict[str, list[schema.Entry]] = {}
    for entry in schema.parse(root):
        entries.setdefault(entry.name, []).append(entry)
    lines = [HEAD]
    for name, comment in comments(root):
        if name == "section":
            lines.append(f"## {comment[0].upper()}{comment[1:]}\n")
        else:
            lines.extend(entry_lines(entries[name].pop(0), comment))
    lines.extend(states.render(root))
    return "\n".join(lines).rstrip() + "\n"


def rule(root: Path) -> Iterator[str]:
    path = root / PROTOCOL
    if not path.exists() or path.read_text() != render(root):
        yield f"{PROTOCOL} is not current: run tests/lint/protocol.py . --write"


if __name__ == "__main__":
    if "--write" in sys.argv:
        root = Path(sys.argv[1]).resolve()
        (root / PROTOCOL).write_text(render(root))
    else:
        tree.main(rule)
