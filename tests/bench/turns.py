"""What was measured: a file of turns that later calls add to, and the ratios that it comes to.

A line is one turn of one figure: the values of each contender by name.  Turns of another product, as its
installed files tell, or of another interpreter do not count together.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from figures import Figure, Row

Turn = dict[str, dict[str, float]]
Value = Mapping[str, Mapping[str, float]]


class Turns:
    """The file, and in it the turns of one product."""

    def __init__(self, path: Path, product: str) -> None:
        self.path = path
        self.product = product

    def add(self, figure: str, turn: Turn) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        when = time.strftime("%Y-%m-%dT%H:%M:%S")
        line = {"figure": figure, "product": self.product, "when": when, "turn": turn}
        with open(self.path, "a") as file:
            file.write(json.dumps(line) + "\n")

    def of(self, figure: str) -> list[Turn]:
        if not self.path.exists():
            return []
        lines = map(json.loads, self.path.read_text().splitlines())
        return [one["turn"] for one in lines if (one["figure"], one["product"]) == (figure, self.product)]


def value(turn: Value, contender: str, name: str) -> float:
    if name == "extra":
        return turn[contender]["cpu"] - turn["plain"]["cpu"]
    return turn[contender][name]


def contenders_of(row: Row) -> set[str]:
    return {row.ours, row.peer, *(["plain"] if row.value == "extra" else [])} - {""}


def outcome(row: Row, turn: Value) -> float:
    ours = value(turn, row.ours, row.value)
    if not row.peer:
        return ours
    peer = value(turn, row.peer, row.value)
    return ours - peer if row.difference else ours / peer


def judge(row: Row, turns: Sequence[Turn]) -> str:
    """A ratio of medians, and beside it the least and the greatest ratio within one turn."""
    middle = {c: {n: median(t[c][n] for t in turns) for n in turns[0][c]} for c in turns[0]}
    result, each = outcome(row, middle), [outcome(row, turn) for turn in turns]
    mark = "ok  " if result <= row.target else "MISS"
    unit = f" {row.unit}" if row.unit else ""
    spread = f"{min(each):.3f}-{max(each):.3f}"
    times = "1 turn" if len(turns) == 1 else f"{len(turns)} turns"
    return f"{mark} {result:.3f}{unit} (target {row.target:.3f}, spread {spread}, {times})  {row.text}"


def tell(name: str, figure: Figure, turns: Sequence[Turn]) -> None:
    """The rows of a figure for which turns have all contenders."""
    if not turns:
        print(f"{name}: not measured")
        return
    tests = {c: int(values["tests"]) for c, values in turns[-1].items() if "tests" in values}
    print(f"{name}: {figure.suite}, {figure.workers} workers, tests {tests}")
    for row in figure.rows:
        fitting = [t for t in turns if all(c in t for c in contenders_of(row))]
        fitting = [{c: t[c] for c in contenders_of(row)} for t in fitting]
        if fitting:
            print("   ", judge(row, fitting), flush=True)
