"""Marks of ours that say where a test may run."""

from __future__ import annotations

import pytest
from snippets import NOTE, notes

DAGZ = pytest.mark.ways("dagz", "dagz+xdist")
USING = """
    import os, time
    from noting import note

    def use(name):
        began = time.monotonic()
        time.sleep(0.03)
        note("used", what=name, id=os.environ["PYTEST_XDIST_WORKER"], began=began, ended=time.monotonic())
"""


def at_once(used: list[dict], amount_of: dict[str, int]) -> int:
    """The greatest sum of amounts that were in use at the same time."""
    edges = [(n["began"], amount_of.get(n["what"], 0)) for n in used]
    edges += [(n["ended"], -amount_of.get(n["what"], 0)) for n in used]
    in_use = most = 0
    for _, amount in sorted(edges):
        in_use += amount
        most = max(most, in_use)
    return most


@DAGZ
def test_no_more_of_a_resource_is_in_use_than_its_budget(suite, way):
    files = {
        ".dagz/config.yaml": "project: {uri: budgets, timezone: UTC}\nresources: {db: 2, gpu: 5, many: 100}\n",
        "noting.py": NOTE,
        "using.py": USING,
        "test_a.py": """
    import pytest
    from using import use
    @pytest.mark.dagz_resource("db")
    @pytest.mark.parametrize("n", range(12))
    def test_db(n): use("db")
    @pytest.mark.dagz_resource("gpu", amount=2)
    @pytest.mark.parametrize("n", range(6))
    def test_gpu(n): use("gpu2")
    @pytest.mark.dagz_resource("gpu")
    @pytest.mark.parametrize("n", range(6))
    def test_gpu_small(n): use("gpu1")
    @pytest.mark.dagz_resource("many")
    @pytest.mark.parametrize("n", range(12))
    def test_many(n): use("many")
    """,
    }
    s = suite(files)
    assert s.run(workers=4).counts == {"passed": 36}
    used = notes(s.state, "used")
    assert at_once(used, {"db": 1}) == 2
    assert at_once(used, {"gpu1": 1, "gpu2": 2}) in (3, 4)
    assert at_once(used, {"many": 1}) > 2
    assert "no budget" not in s.run(workers=2).out


@DAGZ
def test_a_budget_holds_for_workers_that_collect_for_themselves(suite, way):
    files = {
        ".dagz/config.yaml": "project: {uri: budgets, timezone: UTC}\nresources: {db: 2}\n",
        "pytest.ini": "[pytest]\ndagz_fork = before-conftests\n",
        "noting.py": NOTE,
        "using.py": USING,
        "test_a.py": """
    import pytest
    from using import use
    @pytest.mark.dagz_resource("db")
    @pytest.mark.dagz_resource("net")
    @pytest.mark.parametrize("n", range(6))
    def test_both(n): use("both")
    @pytest.mark.dagz_resource("db")
    @pytest.mark.parametrize("n", range(12))
    def test_db(n): use("db")
    """,
    }
    s = suite(files)
    result = s.run(workers=4)
    assert result.counts == {"passed": 18}
    used = notes(s.state, "used")
    assert at_once(used, {"both": 1}) == 1 and at_once(used, {"both": 1, "db": 1}) <= 2
    assert result.out.count("no budget for net: one test at a time") == 1


@DAGZ
def test_a_test_that_needs_more_than_there_is_ends_the_run_with_its_name(suite, way):
    files = {
        ".dagz/config.yaml": "project: {uri: budgets, timezone: UTC}\nresources: {gpu: 2}\n",
        "test_a.py": "import pytest\n@pytest.mark.dagz_resource('gpu', amount=3)\ndef test_a(): pass\n",
    }
    result = suite(files).run()
    assert result.code == 4
    assert "test_a.py::test_a needs 3 of 'gpu', of which .dagz/config.yaml has 2" in result.out + result.err


@DAGZ
def test_tests_of_one_resource_never_run_at_the_same_time(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "using.py": USING,
            "test_a.py": """
                import pytest
                from using import use
                @pytest.mark.dagz_resource("db")
                @pytest.mark.parametrize("n", range(5))
                def test_db(n): use("db")
                @pytest.mark.dagz_resource("db", amount=2)
                @pytest.mark.dagz_resource("net")
                def test_both(): use("both")
                @pytest.mark.parametrize("n", range(10))
                def test_free(n): use("free")
                @pytest.mark.dagz_resource(name="net")
                @pytest.mark.parametrize("n", range(5))
                def test_net(n): use("net")
            """,
        }
    )
    assert s.run().counts == {"passed": 21}
    used = notes(s.state, "used")
    tied = sorted((n["began"], n["ended"]) for n in used if n["what"] != "free")
    assert len(tied) == 11 and all(one[1] <= two[0] for one, two in zip(tied, tied[1:]))
    assert len({n["id"] for n in used}) == 2


PLACED = {
    "noting.py": NOTE,
    "using.py": USING,
    "test_a.py": """
        import pytest
        from using import use
        @pytest.mark.parametrize("n", range(12))
        def test_free(n): use("free")
        @pytest.mark.dagz_main_worker
        @pytest.mark.parametrize("n", range(5))
        def test_main(n): use("main")
        @pytest.mark.dagz_node_mutex
        @pytest.mark.parametrize("n", range(4))
        def test_alone(n): use("alone")
        @pytest.mark.parametrize("n", range(12))
        def test_more(n): use("free")
    """,
}


@DAGZ
def test_places_are_kept(suite, way):
    s = suite(PLACED)
    assert s.run(workers=3).counts == {"passed": 33}
    used = notes(s.state, "used")
    assert {n["id"] for n in used if n["what"] == "main"} == {"gw0"}
    assert {n["id"] for n in used if n["what"] == "free"} == {"gw0", "gw1", "gw2"}
    for one in used:
        if one["what"] == "alone":
            others = [
                n for n in used if n is not one and n["began"] < one["ended"] and one["began"] < n["ended"]
            ]
            assert not others, (one, others)


@DAGZ
def test_a_test_can_need_two_places(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "test_a.py": """
                import os, time, pytest
                from noting import note
                def use(name):
                    time.sleep(0.02)
                    note("used", what=name, id=os.environ["PYTEST_XDIST_WORKER"])
                @pytest.mark.parametrize("n", range(6))
                def test_free(n): use("free")
                @pytest.mark.dagz_main_worker
                @pytest.mark.dagz_node_mutex
                @pytest.mark.xdist_group("both")
                def test_both(): use("both")
                @pytest.mark.xdist_group("both")
                @pytest.mark.parametrize("n", range(3))
                def test_group(n): use("both")
            """,
        }
    )
    assert s.run().counts == {"passed": 10}
    assert {n["id"] for n in notes(s.state, "used") if n["what"] == "both"} == {"gw0"}


@DAGZ
@pytest.mark.parametrize(
    "mark", ["()", "('', 1)", "('db', 0)", "('db', amount='1')", "('db', 1, 2)", "(nam='db')"]
)
def test_a_resource_without_a_sense_is_a_usage_error(suite, way, mark):
    code = f"import pytest\n@pytest.mark.dagz_resource{mark}\ndef test_a(): pass\n"
    result = suite({"test_a.py": code}).run()
    text = result.out + result.err
    assert result.code == 4 and "test_a.py::test_a" in text and "dagz_resource" in text


@pytest.mark.ways("plain", "dagz")
def test_an_assertion_fails_the_test_that_lacks_the_mark(suite, way):
    s = suite(
        {
            "conftest.py": """
                import dagz
                dagz.assert_node_mutex_at("lib.exclusive")
                dagz.assert_main_worker_at("lib.Thing.start")
            """,
            "lib.py": """
                def exclusive(x): return x + 1
                class Thing:
                    def start(self): return "started"
            """,
            "test_a.py": """
                import dagz, lib, pytest
                @pytest.mark.dagz_main_worker
                def test_has(): dagz.assert_main_worker(); assert lib.Thing().start() == "started"
                @pytest.mark.dagz_node_mutex
                def test_has_mutex(): dagz.assert_node_mutex(); assert lib.exclusive(1) == 2
                def test_lacks(): dagz.assert_main_worker()
                def test_lacks_mutex(): dagz.assert_node_mutex()
                def test_lacks_at(): lib.exclusive(1)
                def test_lacks_method(): lib.Thing().start()
            """,
        }
    )
    result = s.run()
    failed = {name for name, outcome in result.outcomes.items() if outcome == "failed"}
    lacking = {"test_lacks", "test_lacks_mutex", "test_lacks_at", "test_lacks_method"} if s.is_dagz else set()
    assert failed == {f"test_a.py::{name}" for name in lacking} and len(result.outcomes) == 6
    assert (
        not s.is_dagz
        or "lib.exclusive needs @pytest.mark.dagz_node_mutex on test_a.py::test_lacks_at" in result.out
    )


@DAGZ
def test_a_function_that_is_not_there_is_named(suite, way):
    s = suite(
        {
            "conftest.py": "import dagz\ndagz.assert_node_mutex_at('os.nothing')\n",
            "test_a.py": "def test(): pass",
        }
    )
    result = s.run()
    assert result.code == 4 and "there is no function os.nothing" in result.out + result.err
