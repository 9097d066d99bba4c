"""``zb export``: every testcase has the file and the line that pytest's own ``--junitxml`` gives it."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest
from lab import Lab, Project, Result
from test_ci_suites import RealProject, load_suites
from zb_place import ZB

EXPORT_S = 60
LIMIT_S = 240.0
SUITES = ("attrs",)

BASE = """
    class Base:
        def test_inherited(self):
            pass

        def test_fails_far_away(self):
            assert self.wanted == 2

        def test_dies_far_away(self):
            assert not self.is_deadly or __import__("os").abort()
"""

FILES: Mapping[str, str | bytes] = {
    "pytest.ini": "[pytest]\naddopts = --doctest-modules\n",
    "shapes/__init__.py": "",
    "shapes/base.py": BASE,
    "shapes/test_shapes.py": """
        import functools, os, unittest
        import pytest
        from shapes.base import Base

        def test_plain():
            pass

        @pytest.mark.parametrize("n", [1, 2])
        @pytest.mark.filterwarnings("ignore")
        def test_decorated(n):
            pass

        def wrapped(function):
            @functools.wraps(function)
            def inner():
                return function()
            return inner

        @wrapped
        def test_wrapped():
            assert 1 == 2

        class TestMany(Base):
            wanted = 1
            is_deadly = bool(os.environ.get("DZT_DEADLY"))

            def test_own(self):
                pytest.skip("not now")

        class TestOld(unittest.TestCase):
            def test_old(self):
                pass

        def test_dies():
            if os.environ.get("DZT_DEADLY"):
                os.abort()

        def add(a, b):
            '''
            >>> add(1, 2)
            3
            '''
            return a + b
    """,
}

Places = dict[tuple[str | None, str | None], tuple[str | None, str | None]]


def places(file: Path) -> Places:
    cases = list(ElementTree.parse(file).getroot().iter("testcase"))
    found = {
        (case.get("classname"), case.get("name")): (case.get("file"), case.get("line")) for case in cases
    }
    assert len(found) == len(cases) > 0
    return found


def own(project: Project) -> Places:
    """As pytest writes it, without dagz."""
    result = project.start("plain", "-o", "junit_family=xunit1").finish(LIMIT_S)
    return places(result.junit_path)


def exported(project: Project, result: Result, tmp_path: Path) -> Places:
    file = tmp_path / "zb.xml"
    argv = [ZB, "export", "--format=junit", f"--output={file}"]
    subprocess.run(argv, cwd=project.path, env=result.env, check=True, timeout=EXPORT_S)
    return places(file)


def test_files_and_lines_are_as_pytest_has_them(tmp_path):
    project = Lab(tmp_path).project(FILES)
    expected = own(project)
    assert expected["shapes.test_shapes.TestMany", "test_inherited"] == ("shapes/base.py", "1")
    result = project.start("dagz").finish(LIMIT_S)
    assert not result.timed_out
    assert exported(project, result, tmp_path) == expected


def test_a_server_tells_them_too(tmp_path, store):
    project = Lab(tmp_path).project(FILES)
    expected = own(project)
    result = project.run("dagz", env={"DAGZ_URL": store.url()})
    assert exported(project, result, tmp_path) == expected


def test_a_crash_has_the_line_of_its_test(tmp_path):
    """Of one whose method stands in another file its agent knows no file, so it tells no line."""
    project = Lab(tmp_path).project(FILES)
    expected = own(project)
    found = exported(project, project.run("dagz", env={"DZT_DEADLY": "1"}), tmp_path)
    far = ("shapes.test_shapes.TestMany", "test_dies_far_away")
    assert found.pop(far) == ("shapes/test_shapes.py", None) != expected.pop(far)
    assert found == expected


@pytest.mark.parametrize("name", SUITES)
def test_a_real_suite_has_them(tmp_path, name):
    project = RealProject(load_suites().Bench.ready(name), tmp_path / "real" / "suite")
    expected = own(project)
    result = project.start("dagz").finish(LIMIT_S)
    assert not result.timed_out
    assert exported(project, result, tmp_path) == expected
