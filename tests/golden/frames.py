"""Golden frames: each message of messages.def as bytes that never change.

    frames.py ROOT            check every file of tests/golden/frames with an independent decoder
    frames.py ROOT --write    make the files that are missing, with an independent encoder

A file is one comment line with the frame as JSON and lines of hex; ``{"bin": "00ff"}`` stands for
bytes.  The decoder is the `msgpack` package and knows nothing of our code; the C side reads the same
files in golden_frames.c.  Existing files are never rewritten: they are what peers in the field send.
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lint"))

import schema  # noqa: E402
import tree  # noqa: E402

try:
    import msgpack
except ImportError:
    print("the msgpack package is not here; tests/support/setup.sh python makes build/venv")
    sys.exit(tree.SKIPPED)

FRAMES = "tests/golden/frames"


def to_json(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bin": value.hex()}
    return [to_json(each) for each in value] if isinstance(value, list) else value


def from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["bin"])
    return [from_json(each) for each in value] if isinstance(value, list) else value


def read(path: Path) -> tuple[Any, bytes]:
    """(the frame as the comment tells it, the bytes)"""
    comment, *lines = path.read_text().splitlines()
    return from_json(json.loads(comment.removeprefix("#"))), bytes.fromhex(" ".join(lines))


def problems_with(path: Path, message: schema.Entry | None) -> Iterator[str]:
    shown = f"{FRAMES}/{path.name}"
    if message is None:
        yield f"{shown}: no such message"
        return
    told, data = read(path)
    if msgpack.unpackb(data, strict_map_key=False, use_list=True) != told:
        yield f"{shown}: the bytes are not what the comment tells"
    if told[0] != message.id or len(told) != len(message.fields) + 1:
        yield f"{shown}: {message.key} has {len(message.fields)} fields"


def rule(root: Path) -> Iterator[str]:
    messages = {entry.name: entry for entry in schema.parse(root) if entry.id is not None}
    paths = sorted((root / FRAMES).glob("*.hex"))
    for path in paths:
        yield from problems_with(path, messages.get(path.stem))
    for name in sorted(set(messages) - {path.stem for path in paths}):
        yield f"{FRAMES}/{name}.hex is missing: frames.py . --write makes it"


def example(field: schema.Field, items: dict[str, schema.Entry], salt: int) -> Any:
    """A value that a reader recognises, near an edge of its encoding."""
    edges = (0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, field.limit)
    if field.kind == "u64":
        fitting = [edge for edge in edges if edge <= field.limit]
        return fitting[salt % len(fitting)]
    if field.kind == "i64":
        return -min(field.limit, edges[salt % len(edges)])
    if field.kind == "str":
        text = ("é " if salt % 3 else "") + field.name * (salt % 4 * 3 + 1)
        return text.encode()[: field.limit].decode(errors="ignore")
    if field.kind == "bin":
        return bytes(range(256))[: field.limit] if salt % 2 else b"\x00\xff"
    fields = items[field.kind.removesuffix("[]")].fields
    return [[example(f, items, salt + i + j) for j, f in enumerate(fields)] for i in range(2)]


def write(root: Path) -> None:
    entries = schema.parse(root)
    items = {entry.name: entry for entry in entries if entry.id is None}
    for message in entries:
        path = root / FRAMES / f"{message.name}.hex"
        if message.id is None or path.exists():
            continue
        fields = [example(f, items, message.id + i) for i, f in enumerate(message.fields)]
        data = msgpack.packb([message.id, *fields])
        hexed = "\n".join(textwrap.wrap(data.hex(" "), 96))
        path.write_text(f"# {json.dumps(to_json([message.id, *fields]))}\n{hexed}\n")


if __name__ == "__main__":
    if "--write" in sys.argv:
        write(Path(sys.argv[1]).resolve())
    else:
        tree.main(rule)
