"""Documents name what exists: paths in README and docs, and events of the log in operations.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import tree

TOP = (
    "shared", "coord", "vassal", "worker", "pyplugin", "store", "zb", "tests", "docs", "cmake",
    "ci-templates",
)  # fmt: skip
PATH = re.compile(r"`((?:%s)/[\w./{},*-]+)`" % "|".join(TOP))
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
EVENT = re.compile(r'\blog_(?:debug|info|warn|error)\(\s*"([\w.]+)"')
OPERATIONS = "docs/operations.md"


def expand(name: str) -> list[str]:
    """`a/{b,c}.md` names two files."""
    match = re.search(r"\{([^}]*)\}", name)
    if not match:
        return [name]
    rest = [name[: match.start()] + part + name[match.end() :] for part in match[1].split(",")]
    return [each for one in rest for each in expand(one)]


def missing_paths(root: Path, document: Path) -> Iterator[str]:
    shown = document.relative_to(root).as_posix()
    for number, line in enumerate(document.read_text().splitlines(), 1):
        named = [(root, name) for name in PATH.findall(line)]
        named += [(document.parent, name) for name in LINK.findall(line)]
        for base, name in named:
            for each in expand(name):
                if not any(base.glob(each.rstrip("/"))) and not (base / each).exists():
                    yield f"{shown}:{number}: {each} does not exist"


def unlisted_events(root: Path) -> Iterator[str]:
    operations = root / OPERATIONS
    listed = operations.read_text() if operations.exists() else ""
    for path in tree.files(root, ".c"):
        name = path.relative_to(root).as_posix()
        if name.startswith("tests/"):
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            for event in EVENT.findall(line):
                if f"`{event}`" not in listed:
                    yield f"{name}:{number}: event {event} is not in {OPERATIONS}"


def rule(root: Path) -> Iterator[str]:
    for document in tree.files(root, ".md"):
        yield from missing_paths(root, document)
    yield from unlisted_events(root)


if __name__ == "__main__":
    tree.main(rule)
