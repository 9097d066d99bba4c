"""It stays pytest: options that choose, order, show and report mean what they mean in plain pytest."""

from __future__ import annotations

import pytest

MIXED = {
    "test_mixed.py": """
        import pytest
        def test_ok(): pass
        def test_bad():
            assert 1 == 2
        @pytest.mark.skip(reason="not today")
        def test_skipped(): pass
        @pytest.mark.xfail(reason="known")
        def test_xfail(): assert 0
        @pytest.mark.xfail
        def test_xpass(): pass
        @pytest.mark.xfail(strict=True)
        def test_strict(): pass
        @pytest.fixture
        def broken(): raise ValueError("in setup")
        def test_setup_error(broken): pass
        @pytest.fixture
        def breaks_later():
            yield
            raise ValueError("in teardown")
        def test_teardown_error(breaks_later): pass
    """
}
MIXED_OUTCOMES = {
    "test_mixed.py::test_ok": "passed",
    "test_mixed.py::test_bad": "failed",
    "test_mixed.py::test_skipped": "skipped",
    "test_mixed.py::test_xfail": "xfailed",
    "test_mixed.py::test_xpass": "xpassed",
    "test_mixed.py::test_strict": "failed",
    "test_mixed.py::test_setup_error": "error",
    "test_mixed.py::test_teardown_error": "passed,error",
}
NUMBERED = {
    "test_num.py": """
        import pytest
        @pytest.mark.parametrize("n", range(6))
        def test_n(n): pass
        @pytest.mark.slow
        def test_slow(): pass
    """,
    "pytest.ini": "[pytest]\nmarkers = slow: takes long\n",
}


@pytest.mark.smoke
def test_every_kind_of_outcome(suite):
    result = suite(MIXED).run()
    assert result.code == 1
    assert result.outcomes == MIXED_OUTCOMES
    assert result.counts == {"failed": 2, "passed": 2, "skipped": 1, "xfailed": 1, "xpassed": 1, "error": 2}


def test_phases_shapes_and_last_lines_of_reports(suite):
    result = suite(MIXED).run()
    phases = {when for (nodeid, when) in result.phases if nodeid.endswith("::test_ok")}
    assert phases == {"setup", "call", "teardown"}
    assert {r.type for r in result.reports} == {"TestReport"}
    skipped = result.report("::test_skipped", "setup")
    assert skipped.shape == "tuple" and "not today" in skipped.longrepr
    assert result.report("::test_xfail").wasxfail == "known"
    bad = result.report("::test_bad")
    assert bad.last.startswith("test_mixed.py:") and "assert 1 == 2" in bad.longrepr
    assert result.report("::test_ok").location[0] == "test_mixed.py"
    assert "ValueError: in setup" in result.report("::test_setup_error", "setup").longrepr
    assert "ValueError: in teardown" in result.report("::test_teardown_error", "teardown").longrepr


@pytest.mark.parametrize(
    ("args", "left"),
    [
        (["-k", "slow or 3"], {"test_n[3]", "test_slow"}),
        (["-m", "not slow"], {f"test_n[{n}]" for n in range(6)}),
        (["--deselect", "test_num.py::test_n"], {"test_slow"}),
        (["test_num.py::test_n[2]", "test_num.py::test_slow"], {"test_n[2]", "test_slow"}),
    ],
    ids=["k", "m", "deselect", "nodeids"],
)
@pytest.mark.ways("plain", "dagz")
def test_choosing(suite, args, left):
    result = suite(NUMBERED).run(*args)
    assert result.code == 0
    assert result.outcomes == {f"test_num.py::{name}": "passed" for name in left}
    if "test_num.py::test_slow" not in args:
        assert result.counts["deselected"] == 7 - len(left)


def test_deselecting_everything_is_exit_5(suite):
    result = suite(NUMBERED).run("-k", "nothing_is_called_so")
    assert result.code == 5 and result.outcomes == {}


def test_ignore(suite):
    s = suite({"test_a.py": "def test_a(): pass", "test_b.py": "raise RuntimeError"})
    result = s.run("--ignore=test_b.py")
    assert result.code == 0 and result.outcomes == {"test_a.py::test_a": "passed"}


HALF_BAD = {
    "test_h.py": """
        import pytest
        @pytest.mark.parametrize("n", range(6))
        def test_n(n): assert n % 2 == 0
    """
}
BAD = [f"test_h.py::test_n[{n}]" for n in (1, 3, 5)]


@pytest.mark.smoke
def test_last_failed_runs_what_failed(suite):
    s = suite(HALF_BAD)
    assert s.run().code == 1
    result = s.run("--lf")
    assert result.code == 1 and result.outcomes == dict.fromkeys(BAD, "failed")
    s.project.write({"test_h.py": HALF_BAD["test_h.py"].replace("n % 2 == 0", "True")})
    assert s.run("--lf").outcomes == dict.fromkeys(BAD, "passed")
    assert len(s.run("--lf").outcomes) == 6


@pytest.mark.ways("plain", "dagz")
def test_failed_first_keeps_all_and_starts_with_what_failed(suite, way):
    s = suite(HALF_BAD)
    s.run()
    result = s.run("--ff", workers=1)
    order = [r.nodeid for r in result.reports if r.when == "call"]
    assert len(order) == 6 and order[:3] == BAD


@pytest.mark.ways("plain", "dagz")
def test_new_first(suite, way):
    s = suite({"test_a.py": "def test_a(): pass", "test_b.py": "def test_b(): pass"})
    s.run()
    s.project.write({"test_c.py": "def test_c(): pass"})
    result = s.run("--nf", workers=1)
    assert [r.nodeid for r in result.reports if r.when == "call"][0] == "test_c.py::test_c"
    assert len(result.outcomes) == 3


@pytest.mark.ways("plain", "dagz")
def test_stepwise_stops_and_goes_on(suite, way):
    s = suite(HALF_BAD)
    first = s.run("--sw")
    assert first.code == 2
    assert way == "plain" or first.out.splitlines()[-1].endswith(" outcome:failed")
    assert first.outcomes == {"test_h.py::test_n[0]": "passed", "test_h.py::test_n[1]": "failed"}
    again = s.run("--sw")
    assert again.outcomes == {"test_h.py::test_n[1]": "failed"}
    s.project.write({"test_h.py": HALF_BAD["test_h.py"].replace("n % 2 == 0", "n != 3")})
    third = s.run("--sw")
    assert list(third.outcomes) == [f"test_h.py::test_n[{n}]" for n in (1, 2, 3)]


@pytest.mark.ways("plain", "dagz")
def test_stepwise_is_implied_by_skipping_the_first_failure(suite, way):
    result = suite(HALF_BAD).run("--sw-skip")
    assert result.code == 2
    assert list(result.outcomes) == [f"test_h.py::test_n[{n}]" for n in range(4)]


@pytest.mark.ways("plain", "dagz")
@pytest.mark.smoke
def test_exitfirst_stops_and_is_exit_1(suite, way):
    files = {
        "test_x.py": """
            import pytest, time
            def test_bad(): assert 0
            @pytest.mark.parametrize("n", range(40))
            def test_later(n): time.sleep(0.1)
        """
    }
    result = suite(files).run("-x")
    assert result.code == 1 and result.counts["failed"] == 1
    assert "stopping after 1 failures" in result.out
    assert len(result.outcomes) < 12


@pytest.mark.ways("plain", "dagz")
def test_maxfail_counts_over_all_workers(suite, way):
    files = {
        "test_x.py": """
            import pytest
            @pytest.mark.parametrize("n", range(40))
            def test_bad(n): assert 0
        """
    }
    result = suite(files).run("--maxfail=3")
    assert result.code == 1 and "stopping after 3 failures" in result.out
    assert 3 <= result.counts["failed"] <= (3 if way == "plain" else 8)


@pytest.mark.ways("plain", "dagz")
def test_durations(suite, way):
    s = suite({"test_a.py": "import time\ndef test_long(): time.sleep(0.3)\ndef test_short(): pass"})
    result = s.run("--durations=1", "--durations-min=0.1")
    assert "slowest 1 durations" in result.out
    assert any("call" in line and "test_long" in line for line in result.out.splitlines())


def test_summary_of_all_outcomes(suite):
    result = suite(MIXED).run("-rA")
    assert "PASSED test_mixed.py::test_ok" in result.out
    assert "FAILED test_mixed.py::test_bad - assert 1 == 2" in result.out
    assert "SKIPPED [1] test_mixed.py:5: not today" in result.out
    assert "XFAIL test_mixed.py::test_xfail - known" in result.out
    assert "ERROR test_mixed.py::test_setup_error - ValueError: in setup" in result.out


@pytest.mark.parametrize(
    ("style", "wanted", "unwanted"),
    [
        ("short", "test_mixed.py:4: in test_bad", "def test_bad"),
        ("line", "test_mixed.py:4: assert 1 == 2", "def test_bad"),
        ("native", "Traceback (most recent call last):", ">   "),
        ("no", "FAILED test_mixed.py::test_bad", "= FAILURES ="),
        ("long", "    def test_bad():\n>       assert 1 == 2", "Traceback (most"),
    ],
    ids=["short", "line", "native", "no", "long"],
)
@pytest.mark.ways("plain", "dagz")
def test_traceback_styles(suite, style, wanted, unwanted):
    result = suite(MIXED).run(f"--tb={style}", "test_mixed.py::test_bad")
    assert result.code == 1 and wanted in result.out and unwanted not in result.out


def test_showlocals(suite):
    s = suite({"test_a.py": "def test_a():\n    beast = 666\n    assert 0"})
    assert "beast      = 666" in s.run("-l").out


@pytest.mark.ways("plain", "dagz")
def test_quiet_and_verbose(suite, way):
    s = suite(NUMBERED)
    quiet = s.run("-q")
    assert "test session starts" not in quiet.out and "7 passed" in quiet.out
    very_quiet = s.run("-qq")
    assert "passed in" not in very_quiet.out and very_quiet.code == 0
    assert "dagz:" not in very_quiet.out
    loud = s.run("-v")
    assert "test_num.py::test_n[3] PASSED" in loud.out or "PASSED test_num.py::test_n[3]" in loud.out


@pytest.mark.ways("plain", "dagz")
@pytest.mark.smoke
def test_collect_only_is_plain_pytest(suite, way):
    s = suite(NUMBERED)
    result = s.run("--co", "-q")
    assert result.code == 0
    ids = [line for line in result.out.splitlines() if "::" in line]
    assert ids == [f"test_num.py::test_n[{n}]" for n in range(6)] + ["test_num.py::test_slow"]
    assert "dagz:" not in result.out and not (s.state / "dagz").exists()


@pytest.mark.ways("plain", "dagz")
@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--fixtures", "tmp_path"),
        ("--markers", "@pytest.mark.skipif"),
        ("--setup-plan", "test_num.py::test_n[0]"),
        ("--version", "pytest 9"),
        ("--help", "test session debugging and configuration"),
        ("--cache-show", "cachedir:"),
    ],
)
def test_options_that_only_show_start_no_job(suite, way, option, text):
    s = suite(NUMBERED)
    result = s.run(option)
    assert result.code == 0 and text in result.out + result.err
    assert not (s.state / "dagz").exists() and "results in" not in result.out


@pytest.mark.ways("plain", "dagz")
def test_setup_show(suite, way):
    s = suite(
        {
            "test_a.py": """
                import pytest
                @pytest.fixture
                def thing(): return 1
                @pytest.fixture(scope="module")
                def wide(): yield 2
                def test_a(thing, wide): pass
            """
        }
    )
    result = s.run("--setup-show")
    assert result.code == 0
    for line in ("SETUP    F thing", "SETUP    M wide", "TEARDOWN F thing", "TEARDOWN M wide"):
        assert line in result.out
    assert "test_a.py::test_a (fixtures used: thing, wide)" in result.out


def test_doctest(suite):
    s = suite(
        {
            "mod.py": '''
                def double(x):
                    """
                    >>> double(2)
                    4
                    >>> double(3)
                    7
                    """
                    return 2 * x
            ''',
            "text.txt": "\n>>> 1 + 1\n2\n",
        }
    )
    result = s.run("--doctest-modules", "--doctest-glob=*.txt")
    assert result.outcomes == {"mod.py::mod.double": "failed", "text.txt::text.txt": "passed"}
    assert "Expected:\n    7\nGot:\n    6" in result.out


UNITTEST = {
    "test_u.py": """
        import unittest
        class TestUnit(unittest.TestCase):
            made = 0
            @classmethod
            def setUpClass(cls): cls.made += 1
            def setUp(self): self.mine = 1
            def test_ok(self): self.assertEqual(self.made, 1)
            def test_bad(self): self.assertEqual(self.mine, 2)
            @unittest.skip("no")
            def test_skip(self): pass
            @unittest.expectedFailure
            def test_expected(self): self.fail()
        class TestAsync(unittest.IsolatedAsyncioTestCase):
            async def test_async(self): self.assertTrue(True)
        class TestSub(unittest.TestCase):
            def test_subs(self):
                for n in range(3):
                    with self.subTest("numbers", n=n):
                        self.assertNotEqual(n, 1)
    """
}


def test_unittest(suite):
    result = suite(UNITTEST).run("-k", "not TestSub")
    assert result.outcomes == {
        "test_u.py::TestUnit::test_ok": "passed",
        "test_u.py::TestUnit::test_bad": "failed",
        "test_u.py::TestUnit::test_skip": "skipped",
        "test_u.py::TestUnit::test_expected": "xfailed",
        "test_u.py::TestAsync::test_async": "passed",
    }


# xdist passes on the text of the numbers, and so shows (n='1').
@pytest.mark.ways("plain", "dagz")
def test_unittest_subtests(suite):
    result = suite(UNITTEST).run("-k", "TestSub")
    assert result.code == 1
    subs = [r for r in result.reports if r.type == "SubtestReport" and r.outcome == "failed"]
    assert len(subs) == 1 and "1 == 1" in subs[0].longrepr
    assert "[numbers] (n=1)" in result.out


@pytest.mark.ways("plain", "dagz")
def test_subtests_fixture(suite):
    s = suite(
        {
            "test_s.py": """
                def test_subs(subtests):
                    for n in range(3):
                        with subtests.test(msg="sub", n=n):
                            assert n != 1
                def test_good(subtests):
                    with subtests.test(msg="sub"): pass
            """
        }
    )
    result = s.run("-rf")
    assert result.code == 1
    assert [r.outcome for r in result.reports if r.type == "SubtestReport"].count("failed") == 1
    # the test itself fails by its subtest, and both are counted
    whole = [r for r in result.reports if r.type == "TestReport" and r.when == "call"]
    assert {r.nodeid: r.outcome for r in whole} == {
        "test_s.py::test_subs": "failed",
        "test_s.py::test_good": "passed",
    }
    assert "SUBFAILED[sub] (n=1) test_s.py::test_subs - assert 1 != 1" in result.out
    assert "FAILED test_s.py::test_subs - contains 1 failed subtest" in result.out
    assert "2 failed, 1 passed" in result.out
    assert result.junit[0].get("failures") == "2"
    assert s.run("-p", "no:terminal").junit[0].get("failures") == "1"


def test_user_properties_and_keywords(suite):
    s = suite(
        {
            "test_p.py": """
                import pytest
                @pytest.mark.filterwarnings("ignore")
                def test_p(record_property, record_testsuite_property):
                    record_property("colour", "blue")
                    record_property("pair", (1, 2))
                    record_testsuite_property("build", 7)
            """
        }
    )
    result = s.run()
    report = result.report("::test_p")
    assert report.properties[0] == ["colour", "blue"] and report.properties[1][0] == "pair"
    assert "filterwarnings" in report.keywords and "test_p.py" in report.keywords


def test_warnings_summary(suite):
    s = suite(
        {
            "conftest.py": "import warnings\nwarnings.warn('from the conftest')\n",
            "test_w.py": """
                import warnings
                warnings.warn("at import", UserWarning)
                def test_w():
                    warnings.warn("in the test", DeprecationWarning)
                def test_v():
                    warnings.warn("in the test", DeprecationWarning)
            """,
        }
    )
    result = s.run()
    assert result.code == 0 and "warnings summary" in result.out
    seen = {(w["message"], w["when"], w["nodeid"]) for w in result.of("warning")}
    assert ("in the test", "runtest", "test_w.py::test_w") in seen
    assert ("in the test", "runtest", "test_w.py::test_v") in seen
    assert ("at import", "collect", "") in seen or ("at import", "collect", "test_w.py") in seen


@pytest.mark.ways("plain", "dagz")
def test_a_warning_of_collection_is_said_once(suite, way):
    s = suite({"test_w.py": "import warnings\nwarnings.warn('at import')\n" + "def test_w(): pass"})
    result = s.run()
    assert len([w for w in result.of("warning") if w["message"] == "at import"]) == 1
    assert result.counts == {"passed": 1, "warning": 1}


@pytest.mark.ways("plain", "dagz")
def test_warnings_as_errors(suite, way):
    s = suite({"test_w.py": "import warnings\ndef test_w(): warnings.warn('loud')"})
    result = s.run("-W", "error")
    assert result.code == 1 and "UserWarning: loud" in result.out
