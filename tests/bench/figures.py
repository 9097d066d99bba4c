"""The figures of the speed table: what is run, what is read, what is promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`value` of contender `ours` divided by that of `peer` (absolute where peer is empty)."""

    text: str
    value: str  # wall, cpu, pss, first, tail (seconds, kilobytes)
    peer: str
    target: float
    ours: str = "dagz"
    unit: str = ""
    difference: bool = False  # ours minus peer, not ours by peer


@dataclass(frozen=True)
class Figure:
    suite: str  # "pandas", or trivial:TESTS:FILES
    workers: int
    contenders: Sequence[str]  # plain, xdist, worksteal, dagz, absent, present
    rows: Sequence[Row]
    memory: bool = False
    args: Sequence[str] = ()
    inner: int = 1  # so many runs make one turn, their medians count


def pandas(workers: int, wall: float, first: float, pss: float, cpu: float | None) -> dict[str, Figure]:
    """The three figures of the pandas slice for a number of workers."""
    name = f"pandas-{workers}"
    rows = [Row(f"wall against xdist -n {workers}", "wall", "xdist", wall)]
    if cpu is not None:
        rows.append(Row("CPU of the whole tree against xdist", "cpu", "xdist", cpu))
        rows.append(Row("time to the first test against plain", "first", "plain", first))
    else:
        rows.append(Row("time to the first test against xdist", "first", "xdist", first))
    rows.append(Row("last test to end of process", "tail", "", 0.5, unit="s"))
    memory = [Row("median over time of the summed PSS against xdist", "pss", "xdist", pss)]
    return {
        name: Figure("pandas", workers, ["plain", "xdist", "worksteal", "dagz"], rows),
        f"{name}-memory": Figure("pandas", workers, ["xdist", "dagz"], memory, memory=True),
    }


FIGURES: dict[str, Figure] = {
    **pandas(2, 0.60, 1.1, 0.75, 0.59),
    **pandas(6, 0.48, 0.30, 0.55, None),
    "trivial-20k": Figure(
        "trivial:20000:100",
        2,
        ["plain", "xdist", "dagz"],
        [
            Row("wall against xdist -n 2", "wall", "xdist", 0.48),
            Row("CPU of the whole tree against plain pytest", "cpu", "plain", 1.1),
        ],
    ),
    "startup": Figure(
        "trivial:1:1",
        0,
        ["absent", "present"],
        [Row("plugin installed, no --dagz", "wall", "absent", 0.005, "present", "s", difference=True)],
        args=["--co"],
        inner=15,
    ),
    "scale-240k": Figure(
        "trivial:240000:1500",
        2,
        ["plain", "xdist", "dagz"],
        [
            # (tree of dagz - plain) against (tree of xdist - plain): what is not the test itself
            Row("CPU of everything that is not the test against xdist", "extra", "xdist", 1 / 3),
        ],
    ),
}
