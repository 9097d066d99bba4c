"""Fixtures of the contract tests: a test is run once for each way in which pytest can be run.

A test that asks for `suite` is parametrised by way and states, by hand, what must be seen.  Where
xdist itself differs from plain pytest, the test's `ways` leave xdist out: then plain is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from lab import Lab, Project, Result, Run

DEFAULT_WAYS = ("plain", "xdist", "dagz")


@dataclass
class Suite:
    """One project and the way in which it is to be run."""

    project: Project
    way: str

    @property
    def path(self) -> Path:
        return self.project.path

    @property
    def is_dagz(self) -> bool:
        return self.way.startswith("dagz")

    @property
    def state(self) -> Path:
        """Where the newest run kept its home; also in its environment as DZT_STATE."""
        return self.path.parent / f"state-{self.project.runs}"

    def start(self, *args: str, **kwargs) -> Run:
        return self.project.start(self.way, *args, **kwargs)

    def run(self, *args: str, **kwargs) -> Result:
        """Run, and require that it ended by itself and left no process."""
        return check(self.project.run(self.way, *args, **kwargs))


def check(result: Result) -> Result:
    print(result)  # pytest shows it where the test fails
    assert not result.timed_out, "it hung"
    assert result.left == [], "it left processes"
    return result


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--way", action="append", default=[], help="only these ways (may be repeated)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "way" in metafunc.fixturenames:
        mark = metafunc.definition.get_closest_marker("ways")
        metafunc.parametrize("way", mark.args if mark else DEFAULT_WAYS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--way")
    if not wanted:
        return
    params = [getattr(getattr(item, "callspec", None), "params", {}) for item in items]
    keep = [item for item, p in zip(items, params) if p.get("way", wanted[0]) in wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in keep])
    items[:] = keep


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def suite(lab: Lab, way: str) -> Callable[..., Suite]:
    def make(files: Mapping[str, str | bytes], family: str = "") -> Suite:
        return Suite(lab.project(files, family=family), way)

    return make
