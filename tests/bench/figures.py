"""The figures of the speed table: what is run, what is read, what is promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`value` of contender `ours` divided by that of `peer` (absolute where peer is empty).

    Values: wall, cpu, first, tail, zb (seconds), pss (kilobytes); extra: CPU beyond that of plain pytest;
    grown: bytes that the processes which keep all tests grew by, for each test.
    """

    text: str
    value: str
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
    memory: bool = False  # sample it; that costs CPU time, so such a run tells nothing else
    args: Sequence[str] = ()
    inner: int = 1  # so many runs make one turn, their medians count
    repeat: int = 5  # turns, unless it is said
    base: str = ""  # the same with fewer tests: what is not for a test
    asks_zb: bool = False  # how long does `zb tests` take then


def pandas(workers: int, wall: float, first: float, pss: float, cpu: float | None) -> dict[str, Figure]:
    """The figures of the pandas slice for a number of workers."""
    name = f"pandas-{workers}"
    rows = [Row(f"wall against xdist -n {workers}", "wall", "xdist", wall)]
    contenders = ["xdist", "dagz"]
    if cpu is not None:
        contenders = ["plain", "xdist", "worksteal", "dagz"]
        rows.append(Row("CPU of the whole tree against xdist", "cpu", "xdist", cpu))
        rows.append(Row("time to the first test against plain", "first", "plain", first))
    else:
        rows.append(Row("time to the first test against xdist", "first", "xdist", first))
    rows.append(Row("last test to end of process", "tail", "", 0.5, unit="s"))
    memory = [Row("median over time of the summed PSS against xdist", "pss", "xdist", pss)]
    return {
        name: Figure("pandas", workers, contenders, rows),
        f"{name}-memory": Figure("pandas", workers, ["xdist", "dagz"], memory, memory=True, repeat=3),
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
            Row("zb tests, wall", "zb", "", 0.150, unit="s"),
        ],
        repeat=1,
        asks_zb=True,
    ),
    "scale-240k-memory": Figure(
        "trivial:240000:1500",
        2,
        ["plain", "dagz"],
        [
            Row(
                "controller and zygote, growth a test beyond plain's", "grown", "plain", 1024,
                unit="bytes", difference=True,
            )
        ],
        memory=True,
        repeat=1,
        base="trivial:15000:1500",
    ),
}  # fmt: skip
