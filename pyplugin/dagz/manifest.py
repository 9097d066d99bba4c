"""The manifest: every test by the name that the agent, the ledger and ``zb`` know it by.

That is its node id; the k-th of equal ones has `` #k`` behind it, and of one that is too long for a frame
the end is a digest of the whole.  Reports keep the node id as it is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

NAME_MAX = 60_000  # bytes; the schema's limit is a little more
PART_MAX = 4096  # tests
PART_BYTES_MAX = 8 << 20
UTF8_BYTES_MAX = 4  # of one character

Entry = tuple[str, str, int, int]


def short(nodeid: str) -> str:
    """The node id, or its beginning and a digest."""
    if len(nodeid) * UTF8_BYTES_MAX <= NAME_MAX:
        return nodeid
    whole = nodeid.encode("utf-8", "surrogatepass")
    if len(whole) <= NAME_MAX:
        return nodeid
    digest = hashlib.sha256(whole).hexdigest()
    return whole[: NAME_MAX - len(digest) - 3].decode("utf-8", "ignore") + "..." + digest


def names(nodeids: Iterable[str]) -> Iterator[str]:
    """The tests' names, each once."""
    seen: dict[str, int] = {}
    for nodeid in nodeids:
        name = short(nodeid)
        count = seen[name] = seen.get(name, 0) + 1
        yield name if count == 1 else f"{name} #{count}"


def parts(nodeids: Iterable[str], ties: Iterable[str]) -> Iterator[tuple[int, list[Entry]]]:
    """(number of the first, entries) of pieces that fit into a frame, in collection order."""
    first = size = 0
    part: list[Entry] = []
    for name, tie in zip(names(nodeids), ties, strict=True):
        part.append((name, tie, 0, 0))
        size += (len(name) + len(tie)) * UTF8_BYTES_MAX
        if len(part) == PART_MAX or size >= PART_BYTES_MAX:
            yield first, part
            first += len(part)
            size, part = 0, []
    if part:
        yield first, part
