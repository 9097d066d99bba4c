"""The tables of states in the cores, as text for docs/protocol.md."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Table:
    source: str
    array: str  # its name in the source
    prefix: str  # of its states' names
    title: str
    text: str


TABLES = (
    Table(
        "coord/core/phase.c",
        "phases",
        "PHASE_",
        "The scheduler's job",
        "READY: enough nodes told their STATE, and the results that they announced have arrived. DRAIN: "
        "all is counted, the job was stopped, or nobody is left who could run anything. EMPTY: every "
        "member is drained, silent or gone, no answer of the ledger is missing, and nothing that the store "
        "lacks has a single copy. MORE: a node came late with tests of its own. ALONE: everybody "
        "said BYE. OUTRANKED: a greater epoch was heard of.",
    ),
    Table(
        "coord/core/phase.c",
        "node_states",
        "NODE_",
        "A node, as the scheduler sees it",
        "GREET: LEAD is sent, a new session begins. TOLD: its STATE is complete. SILENCE: nothing was "
        "heard for `dead_ms`, or the transport knows that it is dead.",
    ),
    Table(
        "vassal/core/tables.c",
        "members",
        "MEMBER_",
        "A node, as it sees itself",
        "LED: a LEAD of a greater epoch or a new session. EMPTY: no worker lives and every result is "
        "acknowledged. REFUSED: the scheduler does not take this node (ERR).",
    ),
    Table(
        "vassal/core/tables.c",
        "ranks",
        "RANK_",
        "Who schedules, as a node sees it",
        "GRANT: the authority granted the lease, or (CANDIDATE, while it cannot be reached) it is this "
        "node's turn in the order of succession. HELD: another node has it. ALONE: the authority cannot be "
        "reached and the CI has several slots. LED: a LEAD of another node. LOST: the scheduler is silent "
        "for `dead_ms`, its process has ended, or it says that it leaves. OUTRANKED: a greater epoch "
        "exists.",
    ),
    Table(
        "vassal/core/tables.c",
        "slots",
        "VASSAL_SLOT_",
        "A slot of a node",
        "DRY: the worker has nothing left to run. END: it was told that nothing will follow. LOSE: no "
        "worker can be made there any more.",
    ),
)
ROW = re.compile(r"\[(\w+)\]\s*=\s*\{([^}]*)\}")


def rows(root: Path, table: Table) -> tuple[list[str], list[list[str]]]:
    """Column names, and for each state its name and where each column leads ("" nowhere)."""
    source = (root / table.source).read_text()
    match = re.search(r"int8_t " + table.array + r"\[\w+\]\[\w+\] = \{\n(.*?)\n\};", source, re.S)
    if not match:
        raise ValueError(f"{table.source} has no table {table.array}")
    columns = re.search(r"/\*(.*?)\*/", match[1], re.S)[1].split()
    body = re.sub(r"/\*.*?\*/", "", match[1], flags=re.S)
    found = []
    for state, cells in ROW.findall(body):
        names = [cell.strip() for cell in cells.split(",") if cell.strip()]
        if len(names) != len(columns):
            raise ValueError(f"{table.source}: {state} has {len(names)} of {len(columns)} columns")
        short = ["" if name == "NO" else name.removeprefix(table.prefix) for name in names]
        found.append([state.removeprefix(table.prefix), *short])
    return columns, found


CELLS = "tests/sim/cells.def"
CELL = re.compile(r"CELL_(MESSAGE|NEVER|RARE)\(([^\"\n)]*)(?:\"([^\"]*)\")?\)")
ENDS = {
    "SCHEDULER": "to a scheduler (its job, and a node as it sees it)",
    "VASSAL": "to a node (as it sees itself, and who schedules)",
    "SLOT": "to a slot of a node",
}
PLACES = {"PHASES": 0, "NODES": 1, "MEMBERS": 2, "RANKS": 3, "SLOTS": 4}  # in TABLES


def messages(root: Path) -> Iterator[str]:
    """Which messages go where, and the states in which none is met."""
    found = CELL.findall((root / CELLS).read_text())
    yield "### Messages and states\n"
    yield (
        "A message is met in every state of the end that it goes to, because it may be old, or meant for an "
        "earlier life of its node. The simulator counts in which (`sim --cells`): one that is empty fails, and "
        f"so does one that cannot be. From `{CELLS}`.\n"
    )
    ends: dict[str, list[str]] = {}
    rest: list[str] = []
    for kind, words, why in found:
        names = [word.strip() for word in words.split(",") if word.strip()]
        if kind == "MESSAGE" and len(names) == 2 and names[0] in ENDS:
            ends.setdefault(names[0], []).append(names[1].upper())
        elif kind != "MESSAGE" and names[0] in PLACES:
            message = "none" if kind == "NEVER" else f"{names[2].upper()} seldom"
            rest.append(f"| {TABLES[PLACES[names[0]]].title} | **{names[1]}** | {message} | {why} |")
    for end, names in ends.items():
        yield f"- {ENDS[end]}: {', '.join(names)}"
    yield "\n| table | state | met | why |\n|---|---|---|---|"
    yield from rest
    yield ""


def render(root: Path) -> Iterator[str]:
    yield "## States\n"
    yield "Rows are states, columns events; an empty cell is refused and changes nothing.\n"
    for table in TABLES:
        columns, found = rows(root, table)
        yield f"### {table.title}\n"
        yield f"{table.text} From `{table.source}`.\n"
        yield "| | " + " | ".join(columns) + " |"
        yield "|---" * (len(columns) + 1) + "|"
        for state, *cells in found:
            yield f"| **{state}** | " + " | ".join(cells) + " |"
        yield ""
    yield from messages(root)
