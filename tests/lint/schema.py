"""The wire schema only grows: ids are unique and never reused, fields are only appended.

    schema.py ROOT            compare messages.def with the snapshot beside this file
    schema.py ROOT --write    take what is new into the snapshot; refuses what breaks the rule

The snapshot is what peers in the field may speak.  A limit may be raised, never lowered.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import tree

DEFINITION = "shared/wire/messages.def"
SNAPSHOT = "tests/lint/schema.txt"
NAMED_LIMITS = {
    "UINT64_MAX": 2**64 - 1,
    "INT64_MAX": 2**63 - 1,
    "UINT32_MAX": 2**32 - 1,
    "INT32_MAX": 2**31 - 1,
}
ENTRY = re.compile(r"\bDZ_(?:ITEM\(|MSG\((\d+),)\s*(\w+)\s*,((?:[^()]|\([^()]*\))*)\)")
FIELD = re.compile(r"\b([FL])\(\s*(\w+)\s*,\s*(\w+)\s*,\s*(\w+)\s*\)")


@dataclass(frozen=True)
class Field:
    kind: str  # u64 i64 str bin, or the name of an item with [] behind it
    name: str
    limit: int


@dataclass(frozen=True)
class Entry:
    """One item (id None) or one message."""

    id: int | None
    name: str
    fields: tuple[Field, ...]

    @property
    def key(self) -> str:
        return f"item {self.name}" if self.id is None else f"msg {self.id} {self.name}"

    def lines(self) -> list[str]:
        return [self.key, *(f"    {f.kind} {f.name} {f.limit}" for f in self.fields)]


def parse(root: Path) -> list[Entry]:
    """All entries of messages.def, in its order.  Raises ValueError for what it cannot read."""
    text = re.sub(r"/\*.*?\*/", "", (root / DEFINITION).read_text(), flags=re.S)
    entries = []
    for number, name, body in ENTRY.findall(text):
        fields = tuple(
            Field(kind if letter == "F" else kind + "[]", field, read_limit(limit))
            for letter, kind, field, limit in FIELD.findall(body)
        )
        entries.append(Entry(int(number) if number else None, name, fields))
    if len(entries) != len(re.findall(r"\bDZ_(?:ITEM|MSG)\(", text)):
        raise ValueError(f"{DEFINITION} has an entry that this script cannot read")
    return entries


def read_limit(text: str) -> int:
    return NAMED_LIMITS[text] if text in NAMED_LIMITS else int(text)


def read_snapshot(root: Path) -> list[Entry]:
    path = root / SNAPSHOT
    entries: list[Entry] = []
    for line in path.read_text().splitlines() if path.exists() else []:
        words = line.split()
        if line.startswith("    "):
            last = entries.pop()
            added = Field(words[0], words[1], int(words[2]))
            entries.append(Entry(last.id, last.name, (*last.fields, added)))
        else:
            number = int(words[1]) if words[0] == "msg" else None
            entries.append(Entry(number, words[-1], ()))
    return entries


def doubled(entries: list[Entry]) -> Iterator[str]:
    for what in ("id", "name"):
        values = [getattr(e, what) for e in entries if e.id is not None]
        for value in sorted({v for v in values if values.count(v) > 1}, key=str):
            yield f"{DEFINITION}: {what} {value} is used twice"


def broken(old: Entry, new: Entry | None) -> Iterator[str]:
    if new is None:
        yield f"{DEFINITION}: {old.key} is gone or has another id; peers may still speak it"
        return
    for index, field in enumerate(old.fields):
        now = new.fields[index] if index < len(new.fields) else None
        if now is None or (now.kind, now.name) != (field.kind, field.name):
            yield f"{DEFINITION}: {old.key}: field {field.name} moved; fields are only appended"
            return
        if now.limit < field.limit:
            yield f"{DEFINITION}: {old.key}: the limit of {field.name} was lowered"


def rule(root: Path) -> Iterator[str]:
    entries, known = parse(root), read_snapshot(root)
    yield from doubled(entries)
    by_key = {entry.key: entry for entry in entries}
    for old in known:
        yield from broken(old, by_key.get(old.key))
    if {e.key: e.fields for e in known} != {e.key: e.fields for e in entries}:
        yield f"{SNAPSHOT} is behind: run {Path(__file__).name} . --write"


def write(root: Path) -> int:
    problems = [line for line in rule(root) if "is behind" not in line]
    print("\n".join(problems))
    if not problems:
        lines = [line for entry in parse(root) for line in entry.lines()]
        (root / SNAPSHOT).write_text("\n".join(lines) + "\n")
    return bool(problems)


if __name__ == "__main__":
    if "--write" in sys.argv:
        sys.exit(write(Path(sys.argv[1]).resolve()))
    tree.main(rule)
