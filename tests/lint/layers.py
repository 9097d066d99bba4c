"""Who may include whom.

Roles (coord, vassal, store, zb, worker, pyplugin) never include each other, except through the one
public header of a role that is hosted.  Cores know the wire and base only.  Each foreign library
has one door.  Includes of our own files are written from the root of the tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import tree

# folder: what it may include besides itself and what those may include
USES: dict[str, list[str]] = {
    "shared/base": [],
    "shared/wire": ["shared/base"],
    "shared/shm": ["shared/base"],
    "shared/net": ["shared/base"],
    "shared/kv": ["shared/base"],
    "shared/conf": ["shared/base"],
    "shared/http": ["shared/base"],
    "shared/vcs": ["shared/base"],
    "shared/proc": ["shared/base"],
    "shared/ci": ["shared/base"],
    "coord/core": ["shared/wire"],
    "coord/io": ["coord/core", "shared/net", "shared/kv", "shared/vcs"],
    "coord": ["coord/io"],
    "vassal/core": ["shared/wire"],
    "vassal/io": ["vassal/core", "shared/net", "shared/kv", "shared/proc", "shared/shm", "shared/vcs"],
    "vassal": ["vassal/io", "shared/conf", "shared/ci", "shared/http"],
    "worker": ["shared/wire", "shared/shm", "shared/proc"],
    "store": ["shared/wire", "shared/kv", "shared/conf", "shared/vcs"],
    "store/http": ["store", "store/push", "shared/conf", "shared/http", "shared/proc"],
    "store/push": ["store", "shared/http"],
    "zb": ["shared/conf", "shared/http", "shared/vcs", "shared/wire", "shared/ci"],
    "pyplugin": ["worker", "shared/wire", "shared/shm"],
}
# a role that hosts another one does so through that role's public header
FACES = {
    "vassal": [
        "coord/coord.h",
        "store/care.h",
        "store/chronicle.h",
        "store/project.h",
        "store/push/drain.h",
        "store/push/meeting.h",
        "store/push/push.h",
        "store/push/spools.h",
        "store/store.h",
        "store/sync.h",
    ],
    "vassal/io": ["coord/coord.h", "store/store.h", "store/project.h"],
    "coord": ["store/store.h"],
    "coord/io": ["coord/coord.h", "store/store.h"],
    "zb": [
        "store/care.h",
        "store/doc.h",
        "store/http/daemon.h",
        "store/jot.h",
        "store/nodes.h",
        "store/project.h",
        "store/push/drain.h",
        "store/push/push.h",
        "store/query.h",
        "store/store.h",
        "store/zone.h",
    ],
}
# the beginning of a foreign header's name: the only folders that may include it
DOORS = {
    "czmq": ["shared/net"],
    "zmq": ["shared/net"],
    "msgpack": ["shared/wire"],
    "lmdb.h": ["shared/kv"],
    "curl/": ["shared/http"],
    "git2": ["shared/vcs"],
    "yaml.h": ["shared/conf"],
    "xxhash.h": ["shared/base"],
    "sodium": ["shared/net"],
    "zstd": ["store"],
    "jansson.h": ["store", "store/http", "store/push", "zb"],
    "mxml.h": ["zb"],
    "microhttpd.h": ["store/http"],
    "Python.h": ["pyplugin"],
}
# pure code: what it does not get from the outside it does not know
PURE = ("coord/core", "vassal/core")
IMPURE_HEADERS = (
    "time.h", "sys/", "unistd.h", "fcntl.h", "poll.h", "pthread.h", "signal.h", "netinet/",
    "arpa/", "dirent.h", "threads.h",
)  # fmt: skip
IMPURE_OWN = ("shared/base/clock.h", "shared/base/fd.h")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^">]+)[>"]')


def folder_of(name: str) -> str | None:
    """The longest folder of the table that holds a file, or None."""
    return max((f for f in USES if name.startswith(f + "/")), key=len, default=None)


@cache
def reach(folder: str) -> frozenset[str]:
    return frozenset([folder]).union(*(reach(used) for used in USES[folder]))


def problem_with(here: str, quote: str, header: str) -> str | None:
    if quote == '"':
        if folder_of(header) not in reach(here) and header not in FACES.get(here, []):
            return f"{here} may not include {header}"
        if here in PURE and header in IMPURE_OWN:
            return f"{here} is pure and may not include {header}"
        return None
    for start, doors in DOORS.items():
        if header.startswith(start) and here not in doors:
            return f"<{header}> belongs behind {doors[0]}"
    if here in PURE and header.startswith(IMPURE_HEADERS):
        return f"{here} is pure and may not include <{header}>"
    return None


def rule(root: Path) -> Iterator[str]:
    for path in tree.files(root, ".c", ".h", ".def"):
        name = path.relative_to(root).as_posix()
        here = folder_of(name)
        if here is None:  # tests may include anything
            continue
        for number, line in enumerate(path.read_text().splitlines(), 1):
            match = INCLUDE.match(line)
            problem = problem_with(here, *match.groups()) if match else None
            if problem:
                yield f"{name}:{number}: {problem}"


if __name__ == "__main__":
    tree.main(rule)
