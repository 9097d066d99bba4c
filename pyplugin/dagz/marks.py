"""Marks that say where a test may run, and calls that fail a test which lacks its mark.

Tests that must not run at the same time are tied: tied tests run in one worker, one after another.  What ties
them are xdist_group, the resources that they name, and the need of the main worker or of a node for itself; a
test with several ties all of them together.  A resource with a budget has lanes, each of which ties: as many
tests of it run at the same time as there are lanes.  A tie whose tests need a place says so: "!m:name" the main worker,
"!x:name" nothing else on the node.
"""

from __future__ import annotations

import functools
import importlib
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

TIE_MAX = 1000  # bytes of a tie's name
NEEDS = {"dagz_main_worker": "m", "dagz_node_mutex": "x"}  # which is also the name of what ties such tests

running: pytest.Item | None = None  # in a worker: the test that runs


def use_of(nodeid: str, name: Any = None, amount: Any = 1, *more: Any) -> tuple[str, int]:
    """Name and amount in a dagz_resource mark.  Raises pytest.UsageError that names the test."""
    if more or not isinstance(name, str) or not name or type(amount) is not int or amount < 1:
        raise pytest.UsageError(
            f"dagz: {nodeid}: dagz_resource(name, amount=1) wants a name and a positive number"
        )
    return name, amount


def uses_of(item: pytest.Item) -> dict[str, int]:
    """The resources that a test needs, and how much of each."""
    uses: dict[str, int] = {}
    for mark in item.iter_markers("dagz_resource"):
        try:
            name, amount = use_of(item.nodeid, *mark.args, **mark.kwargs)
        except TypeError as error:  # a keyword that it does not have
            raise pytest.UsageError(f"dagz: {item.nodeid}: dagz_resource: {error}") from None
        uses[name] = max(amount, uses.get(name, 0))  # the nearest mark and those of class and module
    return uses


class Lanes:
    """How many tests of a resource may run at the same time, and which ones never do.

    With a budget of B and no test that needs more than A of it, B // A of its tests may run at once: so many
    lanes there are, and tests of one lane are tied.  The tests of a file take turns in them; which lane is the
    first depends on the file's name alone, so that all nodes say the same of a test.
    """

    def __init__(
        self, budgets: Mapping[str, int], uses: Sequence[tuple[pytest.Item, dict[str, int]]]
    ) -> None:
        """Raises pytest.UsageError where a test needs more than there is."""
        self.undeclared: list[str] = []
        self.counts: dict[str, int] = {}  # 0: there is enough for all
        self.turns: Counter[tuple[str, str]] = Counter()
        most: Counter[str] = Counter()
        users: Counter[str] = Counter()
        for item, use in uses:
            for name, amount in use.items():
                budget = budgets.get(name)
                if budget is not None and amount > budget:
                    raise pytest.UsageError(
                        f"dagz: {item.nodeid} needs {amount} of {name!r}, of which .dagz/config.yaml has {budget}"
                    )
                most[name] = max(amount, most[name])
                users[name] += 1
        for name, amount in most.items():
            count = budgets[name] // amount if name in budgets else 1
            self.counts[name] = count if count < users[name] else 0
        self.undeclared = sorted(most.keys() - budgets.keys())

    def take(self, name: str, nodeid: str) -> str | None:
        """What ties the test, which is the file's next one that needs this resource."""
        if self.counts[name] == 0:
            return None
        file = nodeid.split("::", 1)[0]
        turn = self.turns[name, file]
        self.turns[name, file] += 1
        lane = (zlib.crc32(file.encode("utf-8", "replace")) + turn) % self.counts[name]
        return f"r{name}" if lane == 0 else f"r{lane}/{name}"


def names_of(item: pytest.Item, lanes: Sequence[str]) -> list[str]:
    """What ties this test to others; the first letter tells the kind."""
    groups: set[str] = set()
    for mark in item.iter_markers("xdist_group"):
        groups.add(str(mark.args[0] if mark.args else mark.kwargs.get("name", "default")))
    names = ["g" + "_".join(sorted(groups))] if groups else []
    needs = [letter for mark, letter in NEEDS.items() if item.get_closest_marker(mark)]
    return [*names, *lanes, *needs]


def ties(items: Sequence[pytest.Item], budgets: Mapping[str, int]) -> tuple[list[str], list[str]]:
    """For each test the name of what ties it to others, or an empty text; and resources without a budget.

    Raises pytest.UsageError for a mark that is wrong or asks for more than there is.
    """
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while parents[name] != name:
            parents[name] = name = parents[parents[name]]
        return name

    uses = [(item, uses_of(item)) for item in items]
    lanes = Lanes(budgets, uses)
    firsts = []
    for item, use in uses:
        names = names_of(item, [lane for name in sorted(use) if (lane := lanes.take(name, item.nodeid))])
        for name in names:
            parents.setdefault(name, name)
            parents[root(name)] = root(names[0])
        firsts.append(names[0] if names else "")
    needs: dict[str, str] = {}
    for letter in NEEDS.values():
        if letter in parents:
            needs[root(letter)] = needs.get(root(letter), "!") + letter
    named = {
        name: cut(f"{needs[name]}:{name}" if name in needs else name) for name in set(map(root, parents))
    }
    return [named[root(first)] if first else "" for first in firsts], lanes.undeclared


def cut(name: str) -> str:
    return name.encode("utf-8", "replace")[:TIE_MAX].decode("utf-8", "ignore")


# ---------------------------------------------------------------- calls for projects


def assert_mark(mark: str, what: str) -> None:
    """Fail the running test if it lacks the mark.  Outside of workers nothing is known and nothing happens."""
    if running is not None and running.get_closest_marker(mark) is None:
        pytest.fail(f"{what} needs @pytest.mark.{mark} on {running.nodeid}")


def guard(path: str, mark: str) -> None:
    """A call of ``pkg.mod.func`` (or ``pkg.mod.Class.method``) by a test that lacks the mark fails that test.

    Raises ValueError where there is no such function.
    """
    owner, name = find(path)
    original: Callable[..., Any] = getattr(owner, name)

    @functools.wraps(original)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        assert_mark(mark, path)
        return original(*args, **kwargs)

    setattr(owner, name, guarded)


def find(path: str) -> tuple[Any, str]:
    """The module or class that has the last name of a dotted path, and that name."""
    *parts, name = path.split(".")
    for count in range(len(parts), 0, -1):
        module_name = ".".join(parts[:count])
        try:
            owner = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if f"{module_name}.".startswith(f"{error.name}."):
                continue
            raise
        for part in parts[count:]:
            owner = getattr(owner, part, None)
        if callable(getattr(owner, name, None)):
            return owner, name
        break
    raise ValueError(f"dagz: there is no function {path}")
