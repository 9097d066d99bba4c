"""The junitxml of a run under dagz is the one of plain pytest, but for times."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest
from test_contract_options import MIXED, UNITTEST

TIMES = ("time", "timestamp", "hostname")

FILES = {
    **MIXED,
    "test_output.py": """
        import logging, sys, pytest
        def test_out(): print("to out"); print("to err", file=sys.stderr); logging.warning("logged"); assert 0
        def test_ok(record_property): print("said"); record_property("k", "v")
        @pytest.mark.parametrize("x", ["a/b", "<&>", "\\x01"])
        def test_param(x): pass
        def test_attribute(record_xml_attribute): record_xml_attribute("assertions", "3")
        class TestClass:
            def test_method(self): pass
    """,
    "test_suite_property.py": """
        def test_p(record_testsuite_property): record_testsuite_property("build", 7)
    """,
    "test_unit.py": UNITTEST["test_u.py"],
    "test_gone.py": "import pytest\npytest.importorskip('nowhere_to_be_found')",
}


def canonical(root: ET.Element) -> list[str]:
    """Testcases as text, times and addresses blanked, sorted: order is the workers' business."""
    for element in root.iter():
        for name in TIMES:
            element.attrib.pop(name, None)
    cases = [ET.tostring(case, encoding="unicode") for case in root.iter("testcase")]
    # Plain pytest prints the letter of a passed subtest into the output of the test that goes on.
    return sorted(re.sub(r"0x[0-9a-f]+|(?m:^u$)", "", case) for case in cases)


def suite_attributes(root: ET.Element) -> dict[str, str]:
    return {k: v for k, v in next(root.iter("testsuite")).attrib.items() if k not in TIMES}


@pytest.mark.smoke
@pytest.mark.parametrize("family", ["xunit1", "xunit2"])
@pytest.mark.parametrize("logging", ["all", "no"])
def test_junitxml_is_that_of_plain_pytest(lab, family, logging):
    project = lab.project(FILES)
    args = ["-o", f"junit_family={family}", "-o", f"junit_logging={logging}"]
    plain, dagz = project.run("plain", *args), project.run("dagz", *args)
    print(plain, dagz)
    assert suite_attributes(dagz.junit) == suite_attributes(plain.junit)
    assert canonical(dagz.junit) == canonical(plain.junit)
    wanted = sorted(ET.tostring(e) for e in plain.junit.iter("properties"))
    assert sorted(ET.tostring(e) for e in dagz.junit.iter("properties")) == wanted


def test_junitxml_with_collection_errors(lab):
    project = lab.project({"test_a.py": "def test_a(): pass", "test_b.py": "1 / 0"})
    for args in ([], ["--continue-on-collection-errors"]):
        plain, dagz = project.run("plain", *args), project.run("dagz", *args)
        print(plain, dagz)
        assert canonical(dagz.junit) == canonical(plain.junit)
        assert suite_attributes(dagz.junit) == suite_attributes(plain.junit)
