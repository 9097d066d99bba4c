"""Plugins from the index, unmodified: each does under dagz what it does in plain pytest.

pytest-cov and pytest-django have a file of their own.
"""

from __future__ import annotations

import json
import re

import pytest
from snippets import COVERED, NOTE, notes

PLAIN = pytest.mark.ways("plain", "dagz", "dagz+xdist")
ALL = pytest.mark.ways("plain", "xdist", "dagz", "dagz+xdist")

# ---------------------------------------------------------------- pytest-randomly

RANDOM = {
    "test_r.py": """
        import random, pytest
        @pytest.mark.parametrize("n", range(12))
        def test_r(n, record_property): record_property("value", random.random())
    """
}


@ALL
def test_randomly_uses_one_seed_and_resets_it_for_each_test(suite, way):
    s = suite(RANDOM, family="randomly")
    result = s.run()
    assert result.code == 0 and result.counts["passed"] == 12
    (seed,) = set(re.findall(r"Using --randomly-seed=(\d+)", result.out))
    values = {str(r.properties) for r in result.reports if r.when == "call"}
    again = s.run(f"--randomly-seed={seed}")
    assert {str(r.properties) for r in again.reports if r.when == "call"} == values


@pytest.mark.ways("plain", "dagz")
def test_randomly_shuffles_as_in_plain_pytest(suite, way):
    s = suite(RANDOM, family="randomly")
    result = s.run("--randomly-seed=4", workers=1)
    order = [r.nodeid for r in result.reports if r.when == "call"]
    assert len(order) == 12 and order != sorted(order, key=lambda n: int(n.split("[")[1][:-1]))
    assert order == [
        r.nodeid for r in s.project.run("plain", "--randomly-seed=4").reports if r.when == "call"
    ]


# ---------------------------------------------------------------- pytest-timeout


@ALL
@pytest.mark.parametrize("method", ["signal", "thread"])
def test_timeout(suite, way, method):
    s = suite(
        {
            "test_t.py": """
                import time, pytest
                @pytest.mark.timeout(0.5)
                def test_slow(): time.sleep(30)
                @pytest.mark.parametrize("n", range(4))
                def test_n(n): pass
            """
        },
        family="plugins",
    )
    result = s.run(f"--timeout-method={method}")
    assert result.code != 0
    if method == "signal":
        assert result.counts == {"failed": 1, "passed": 4}
        assert "Timeout (>0.5s) from pytest-timeout" in result.out
    elif s.is_dagz:  # the thread method ends the process: a worker's death like any other
        assert result.counts == {"failed": 1, "passed": 4} and "CRASHED" in result.out
        assert "+ Timeout +" in result.out


# ---------------------------------------------------------------- pytest-rerunfailures

FLAKY = {
    "noting.py": NOTE,
    "test_f.py": """
        import os, pathlib, pytest
        from noting import note
        def test_flaky():
            note("tries")
            mark = pathlib.Path(os.environ["DZT_STATE"], "tried")
            if not mark.exists():
                mark.touch(); assert 0, "the first time"
        def test_hopeless(): note("hopeless"); assert 0
        @pytest.mark.flaky(reruns=3)
        def test_marked(): note("marked"); assert 0
        def test_ok(): pass
    """,
}


@ALL
def test_reruns_are_counted_as_in_plain_pytest(suite, way):
    s = suite(FLAKY, family="plugins")
    result = s.run("--reruns=2", "-rR")
    assert result.code == 1
    assert result.counts == {"failed": 2, "passed": 2, "rerun": 6}
    counts = [len(notes(s.state, name)) for name in ("tries", "hopeless", "marked")]
    assert counts == [2, 3, 4]
    assert result.phases["test_f.py::test_flaky", "call"] == "passed,rerun"


@pytest.mark.ways("xdist", "dagz+xdist")
def test_each_worker_has_its_own_connection_for_counting_reruns(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "test_c.py": """
                import pytest
                from dzt_meet import meet
                from noting import note
                @pytest.mark.parametrize("n", range(8))
                def test_port(n, request, worker_id):
                    meet()
                    note("port", id=worker_id, port=request.config.failures_db.sock.getsockname()[1])
            """,
        },
        family="plugins",
    )
    assert s.run("--reruns=2").code == 0
    seen = {(n["id"], n["port"]) for n in notes(s.state, "port")}
    assert len({port for _, port in seen}) == 2 == len(seen)


@pytest.mark.ways("xdist", "dagz")
def test_reruns_of_a_test_that_ends_its_worker(suite, way):
    s = suite(
        {
            "test_c.py": """
                import os, pathlib
                def test_dies_once():
                    mark = pathlib.Path(os.environ["DZT_STATE"], "tried")
                    if not mark.exists():
                        mark.touch(); os._exit(1)
                def test_ok(): pass
            """
        },
        family="plugins",
    )
    result = s.run("--reruns=2")
    assert result.code == 0 and result.counts["passed"] == 2


# ---------------------------------------------------------------- pytest-asyncio, anyio


@ALL
def test_asyncio(suite, way):
    s = suite(
        {
            "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
            "test_a.py": """
                import asyncio, pytest, pytest_asyncio
                @pytest_asyncio.fixture(loop_scope="session", scope="session")
                async def server():
                    task = asyncio.create_task(asyncio.sleep(3600))
                    yield asyncio.get_running_loop()
                    task.cancel()
                @pytest.mark.asyncio(loop_scope="session")
                @pytest.mark.parametrize("n", range(6))
                async def test_in_session(n, server):
                    await asyncio.sleep(0.02)
                    assert asyncio.get_running_loop() is server
                @pytest.mark.parametrize("n", range(6))
                async def test_own(n):
                    reader = asyncio.create_task(asyncio.sleep(0.01, result=n))
                    assert await reader == n
                async def test_subprocess():
                    child = await asyncio.create_subprocess_exec("echo", "from the child")
                    assert await child.wait() == 0
                async def test_bad(): assert await asyncio.sleep(0, result=1) == 2
            """,
        },
        family="plugins",
    )
    result = s.run()
    assert result.counts == {"passed": 13, "failed": 1}
    assert result.report("test_subprocess").section("Captured stdout call") == "from the child\n"


@ALL
def test_anyio(suite, way):
    s = suite(
        {
            "test_a.py": """
                import anyio, pytest
                pytestmark = pytest.mark.anyio
                @pytest.fixture(params=["asyncio", "trio"])
                def anyio_backend(request): return request.param
                @pytest.fixture
                async def resource():
                    await anyio.sleep(0)
                    yield 5
                @pytest.mark.parametrize("n", range(3))
                async def test_group(n, resource):
                    found = []
                    async with anyio.create_task_group() as group:
                        group.start_soon(anyio.sleep, 0)
                        found.append(resource)
                    assert found == [5]
            """
        },
        family="plugins",
    )
    result = s.run("-p", "no:asyncio")
    assert result.code == 0 and result.counts == {"passed": 6}


# ---------------------------------------------------------------- pytest-html


def html_rows(path):
    """Outcomes by test id from the data that the page carries."""
    import html

    text = path.read_text()
    blob = re.search(r'data-jsonblob="([^"]*)"', text)
    tests = json.loads(html.unescape(blob.group(1)))["tests"]
    return {name: [row["result"] for row in rows] for name, rows in tests.items()}


@ALL
def test_html_has_one_row_per_test(suite, way):
    s = suite(
        {
            "conftest.py": """
                import pytest
                @pytest.hookimpl(hookwrapper=True)
                def pytest_runtest_makereport(item, call):
                    outcome = yield
                    report = outcome.get_result()
                    import pytest_html
                    if report.when == "call":
                        report.extras = [pytest_html.extras.url("http://example.com/" + item.name)]
                def pytest_html_report_title(report): report.title = "Our title"
                def pytest_html_results_summary(prefix, summary, postfix): prefix.append("<p>our summary</p>")
            """,
            "test_h.py": """
                import pytest
                def test_ok(): print("said by ok")
                def test_bad(): assert 1 == 2
                @pytest.mark.skip
                def test_skip(): pass
                @pytest.mark.xfail
                def test_xfail(): assert 0
                @pytest.fixture
                def broken(): raise ValueError
                def test_error(broken): pass
            """,
        },
        family="plugins",
    )
    result = s.run("--html=report.html", "--self-contained-html")
    assert result.code == 1
    assert html_rows(s.path / "report.html") == {
        "test_h.py::test_ok": ["Passed"],
        "test_h.py::test_bad": ["Failed"],
        "test_h.py::test_skip": ["Skipped"],
        "test_h.py::test_xfail": ["XFailed"],
        "test_h.py::test_error": ["Error"],
    }
    text = (s.path / "report.html").read_text()
    assert "Our title" in text and "our summary" in text and "example.com/test_ok" in text
    assert "said by ok" in text


# ---------------------------------------------------------------- pytest-benchmark


@ALL
def test_benchmark_is_there_and_off_in_workers(suite, way):
    s = suite(
        {
            "test_b.py": """
                def test_fast(benchmark): assert benchmark(lambda: 5) == 5
                def test_plain(): pass
            """
        },
        family="plugins",
    )
    result = s.run("--benchmark-min-time=0.0001", "--benchmark-max-time=0.01")
    assert result.code == 0 and result.counts["passed"] == 2
    if way == "plain":
        assert "test_fast" in result.out
    else:
        assert "Benchmarks are automatically disabled" in result.out + result.err


@ALL
def test_benchmark_skip_and_only(suite, way):
    s = suite(
        {"test_b.py": "def test_fast(benchmark): benchmark(int)\ndef test_plain(): pass"}, family="plugins"
    )
    assert s.run("--benchmark-skip").counts.get("skipped") == 1


# ---------------------------------------------------------------- pytest-sugar


@ALL
def test_sugar(suite, way):
    s = suite(
        {"test_s.py": "import pytest\n@pytest.mark.parametrize('n', range(6))\ndef test_n(n): assert n != 3"},
        family="sugar",
    )
    result = s.run("--force-sugar", "--color=no", env={"COLUMNS": "100"})
    assert result.code == 1
    assert set(result.outcomes.values()) == {"passed", "failed"} and len(result.outcomes) == 6
    assert re.search(r"5 passed", result.out) and re.search(r"1 failed", result.out)


# ---------------------------------------------------------------- pytest-bdd


@ALL
def test_bdd(suite, way):
    s = suite(
        {
            "shop.feature": """
                Feature: Shop
                  Scenario: Buying
                    Given a shop with 3 things
                    When I buy 2
                    Then 1 is left
                  Scenario Outline: Buying many
                    Given a shop with <have> things
                    When I buy <buy>
                    Then <left> is left
                    Examples:
                      | have | buy | left |
                      | 5    | 2   | 3    |
                      | 5    | 5   | 1    |
            """,
            "test_shop.py": """
                from pytest_bdd import given, parsers, scenarios, then, when
                scenarios("shop.feature")
                @given(parsers.parse("a shop with {n:d} things"), target_fixture="shop")
                def shop(n): return {"n": n}
                @when(parsers.parse("I buy {n:d}"))
                def buy(shop, n): shop["n"] -= n
                @then(parsers.parse("{n:d} is left"))
                def left(shop, n): assert shop["n"] == n
            """,
        },
        family="bdd",
    )
    result = s.run("--cucumberjson=out.json")
    assert result.code == 1 and result.counts == {"passed": 2, "failed": 1}
    (feature,) = json.loads((s.path / "out.json").read_text())
    steps = [step["result"]["status"] for element in feature["elements"] for step in element["steps"]]
    assert steps.count("failed") == 1 and steps.count("passed") == 8


# ---------------------------------------------------------------- pytest-subtests (before pytest 9)


@ALL
def test_subtests_plugin(suite, way):
    s = suite(
        {
            "test_s.py": """
                import unittest
                def test_subs(subtests):
                    for n in range(4):
                        with subtests.test(msg="part", n=n):
                            print("in part", n)
                            assert n != 2
                class TestUnit(unittest.TestCase):
                    def test_unit(self):
                        for n in range(3):
                            with self.subTest(n=n): self.assertNotEqual(n, 1)
            """
        },
        family="subtests",
    )
    result = s.run()
    assert result.code == 1
    subs = [r.outcome for r in result.reports if r.type == "SubTestReport"]
    assert subs.count("failed") == 2 and subs.count("passed") >= 3
    assert "[part]" in result.out


# ---------------------------------------------------------------- pytest-mock, hypothesis


@ALL
def test_mock(suite, way):
    s = suite(
        {
            "test_m.py": """
                import os, pytest
                @pytest.mark.parametrize("n", range(4))
                def test_patch(mocker, n):
                    mocker.patch("os.getcwd", return_value="/nowhere")
                    assert os.getcwd() == "/nowhere"
                def test_undone(): assert os.getcwd() != "/nowhere"
                def test_session(session_mocker): session_mocker.patch("os.getlogin", return_value="me")
                def test_diff(mocker):
                    m = mocker.Mock(); m(1)
                    m.assert_called_once_with(2)
            """
        },
        family="plugins",
    )
    result = s.run()
    assert result.counts == {"passed": 6, "failed": 1} and "Actual: mock(1)" in result.out


@ALL
def test_hypothesis(suite, way):
    s = suite(
        {
            "test_h.py": """
                from hypothesis import given, settings, strategies as st
                @given(st.integers())
                def test_holds(n): assert n + 0 == n
                @given(st.lists(st.integers()))
                @settings(derandomize=True)
                def test_fails(xs): assert sum(xs) < 100
            """
        },
        family="plugins",
    )
    result = s.run("--hypothesis-show-statistics")
    assert result.counts == {"passed": 1, "failed": 1}
    assert "test_fails(\nE       xs=[100]," in result.out
    assert "test_h.py::test_holds:" in result.out and "Typical runtimes" in result.out


@ALL
def test_hypothesis_database_is_shared_and_used_again(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "test_h.py": """
                from hypothesis import given, strategies as st
                from noting import note
                @given(st.integers(0, 10**9))
                def test_fails(n):
                    note("tried", n=n)
                    assert n < 5000
            """,
        },
        family="plugins",
    )
    s.run()
    s.run()
    assert notes(s.state, "tried")[0]["n"] == 5000, "the second run starts with the example of the first"


# ---------------------------------------------------------------- all at once, and our place among wrappers


@ALL
def test_all_plugins_together(suite, way):
    s = suite(
        {**COVERED, "test_c.py": "def test_bad(): assert 0\ndef test_m(mocker, benchmark): benchmark(int)"},
        family="plugins",
    )
    args = ["--cov=pkg", "--html=r.html", "--reruns=1", "--timeout=20", "--durations=2", "-ra"]
    result = s.run(*args)
    assert result.code == 1 and result.counts["passed"] == 4 and result.counts["rerun"] == 1
    assert re.search(r"pkg/lib\.py +9 +2 +78%", result.out)


@PLAIN
def test_a_plugin_with_a_tryfirst_wrapper_of_the_same_hook(suite, way):
    s = suite(
        {
            "early.py": """
                import os, pytest
                @pytest.hookimpl(hookwrapper=True, tryfirst=True)
                def pytest_load_initial_conftests(early_config, parser, args):
                    early_config.opened = open(os.devnull)
                    yield
                    early_config.opened.close()
            """,
            "test_a.py": "import pytest\n@pytest.mark.parametrize('n', range(4))\ndef test_n(n): pass",
        }
    )
    env = {"PYTHONPATH": f"{s.path}:{s.project.environment(s.path, {})['PYTHONPATH']}"}
    result = s.run("-p", "early", env=env)
    assert result.code == 0 and result.counts == {"passed": 4}
