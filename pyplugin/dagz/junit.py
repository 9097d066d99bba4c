"""What tests write straight into the junit report of their process (``record_xml_attribute``,
``record_testsuite_property``): noted in the worker, done again in the controller, which has the report.
"""

from __future__ import annotations

from typing import Any

import pytest
from _pytest.junitxml import xml_key


class Note:
    """Stands for the reporter of one test."""

    def __init__(self, calls: list[tuple[str, str, str]]) -> None:
        self.calls = calls

    def add_attribute(self, name: str, value: object) -> None:
        self.calls.append(("attribute", str(name), str(value)))

    def add_property(self, name: str, value: object) -> None:
        self.calls.append(("property", str(name), str(value)))


class Notes:
    """Stands for pytest's LogXML in a worker."""

    def __init__(self, config: pytest.Config) -> None:
        self.family = config.getini("junit_family")
        self.calls: list[tuple[str, str, str]] = []
        config.stash[xml_key] = self  # type: ignore[assignment]

    def node_reporter(self, report: object) -> Note:
        return Note(self.calls)

    def add_global_property(self, name: str, value: object) -> None:
        self.calls.append(("global", str(name), str(value)))

    def take(self) -> list[tuple[str, str, str]]:
        calls, self.calls[:] = list(self.calls), []
        return calls

    @staticmethod
    def remove(config: pytest.Config) -> None:
        """Before pytest looks for its own object there."""
        if isinstance(config.stash.get(xml_key, None), Notes):
            del config.stash[xml_key]


def apply(config: pytest.Config, report: Any, calls: list[tuple[str, str, str]]) -> None:
    """Do in the controller what a test did in its worker; `report` is one of that test's."""
    xml = config.stash.get(xml_key, None)
    if xml is None:
        return
    for kind, name, value in calls:
        if kind == "global":
            xml.add_global_property(name, value)
        else:
            getattr(xml.node_reporter(report), f"add_{kind}")(name, value)
