"""Words that have no place in the tree: paths of somebody's machine, and notes to oneself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import tree

# spelled apart, so that this file may name them
WORDS = {
    r"(?<![\w/.-])/" + "work/": "a path of one machine",
    r"(?<![\w/.-])/" + "farm\\b": "a path of one machine",
    r"/" + r"root/\.": "a path of one machine",
    r"/opt/" + "pypi": "a path of one machine",
    r"/tmp/" + "(build-|dz/|venv3)": "a path of one machine",
    r"\b(TO" + "DO|FIX" + "ME|XX" + "X)\\b": "say NEEDSWORK: and what it waits for, or do it",
}
BINARY = {".bin", ".zst", ".png", ".ico", ".gz"}


def rule(root: Path) -> Iterator[str]:
    found = [(re.compile(word), why) for word, why in WORDS.items()]
    for path in tree.files(root):
        name = path.relative_to(root).as_posix()
        if path.suffix in BINARY or "/corpus/" in name:
            continue
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
            for pattern, why in found:
                match = pattern.search(line)
                if match:
                    yield f"{name}:{number}: '{match[0]}': {why}"


if __name__ == "__main__":
    tree.main(rule)
