"""Marks that say where a test may run, and calls that fail a test which lacks its mark.

Tests that must not run at the same time are tied: tied tests run in one worker, one after another.  What ties
them are xdist_group, the resources that they name, and the need of the main worker or of a node for itself; a
test with several ties all of them together.  A tie whose tests need a place says so: "!m:name" the main worker,
"!x:name" nothing else on the node.
"""

from __future__ import annotations

import functools
import importlib
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

TIE_MAX = 1000  # bytes of a tie's name
NEEDS = {"dagz_main_worker": "m", "dagz_node_mutex": "x"}  # which is also the name of what ties such tests

running: pytest.Item | None = None  # in a worker: the test that runs


def resource_of(nodeid: str, name: Any = None, amount: Any = 1, *more: Any) -> str:
    """The name in a dagz_resource mark.  Raises pytest.UsageError that names the test."""
    if more or not isinstance(name, str) or not name or type(amount) is not int or amount < 1:
        raise pytest.UsageError(
            f"dagz: {nodeid}: dagz_resource(name, amount=1) wants a name and a positive number"
        )
    return name


def names_of(item: pytest.Item) -> list[str]:
    """What ties this test to others; the first letter tells the kind."""
    groups: set[str] = set()
    resources: set[str] = set()
    for mark in item.iter_markers():
        if mark.name == "xdist_group":
            groups.add(str(mark.args[0] if mark.args else mark.kwargs.get("name", "default")))
        elif mark.name == "dagz_resource":
            try:
                resources.add("r" + resource_of(item.nodeid, *mark.args, **mark.kwargs))
            except TypeError as error:  # a keyword that it does not have
                raise pytest.UsageError(f"dagz: {item.nodeid}: dagz_resource: {error}") from None
    names = ["g" + "_".join(sorted(groups))] if groups else []
    needs = [letter for mark, letter in NEEDS.items() if item.get_closest_marker(mark)]
    return names + sorted(resources) + needs


def ties(items: Iterable[pytest.Item]) -> list[str]:
    """For each test the name of what ties it to others, or an empty text."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while parents[name] != name:
            parents[name] = name = parents[parents[name]]
        return name

    firsts = []
    for item in items:
        names = names_of(item)
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
    return [named[root(first)] if first else "" for first in firsts]


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
