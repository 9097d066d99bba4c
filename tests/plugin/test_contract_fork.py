"""What modules make at import and workers find after the fork; and what the project's plugins do in a session."""

from __future__ import annotations

import pytest
from snippets import BUSY, NOTE, notes

ALL = ("plain", "xdist", "dagz")

AT_IMPORT = {
    "thread": """
        import queue, threading
        ASKED = queue.Queue()
        def serve():
            while True: ASKED.get().set()
        threading.Thread(target=serve, name="serves-tests", daemon=True).start()
        def use(n):
            answered = threading.Event()
            ASKED.put(answered)
            assert answered.wait(50)
    """,
    "loop": """
        import asyncio
        LOOP = asyncio.new_event_loop()
        def use(n): assert LOOP.run_until_complete(asyncio.sleep(0.001, result=n)) == n
    """,
    "database": """
        import sqlite3
        DATABASE = sqlite3.connect(":memory:")
        DATABASE.execute("create table t (n)")
        def use(n):
            DATABASE.execute("insert into t values (?)", (n,))
            assert DATABASE.execute("select count(*) from t where n = ?", (n,)).fetchone() == (1,)
    """,
    "socket": """
        import socket
        SERVER = socket.create_server(("127.0.0.1", 0))
        def use(n): socket.create_connection(SERVER.getsockname()).close()
    """,
    "shared memory": """
        from multiprocessing import shared_memory
        KEPT = shared_memory.SharedMemory(create=True, size=64)
        def use(n):
            KEPT.buf[n] = n
            own = shared_memory.SharedMemory(create=True, size=8)
            own.close(); own.unlink()
    """,
    "folder": """
        import os, pathlib
        os.makedirs("elsewhere", exist_ok=True)
        os.chdir("elsewhere")
        def use(n): assert pathlib.Path.cwd().name == "elsewhere"
    """,
}


@pytest.mark.ways(*ALL)
@pytest.mark.parametrize("kind", AT_IMPORT)
def test_what_a_module_makes_at_import_serves_tests(suite, way, kind):
    s = suite(
        {
            "helper.py": AT_IMPORT[kind],
            "test_a.py": """
                import pytest
                from helper import use
                @pytest.mark.parametrize("n", range(6))
                def test_use(n): use(n)
            """,
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts["passed"] == 6
    if s.is_dagz and kind == "thread":
        assert result.out.count("serves-tests") == 1


@pytest.mark.ways(*ALL)
def test_a_plugin_of_the_project_is_started_once_for_each_worker(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "tools/__init__.py": "",
            "tools/databases.py": """
                import os
                from noting import note
                def who(session): return getattr(session.config, "workerinput", {"workerid": "main"})["workerid"]
                def pytest_sessionstart(session): note("hook", what="start", id=who(session))
                def pytest_sessionfinish(session): note("hook", what="finish", id=who(session))
            """,
            "conftest.py": """
                from tools.databases import who
                from noting import note
                pytest_plugins = ["tools.databases"]
                class Plugin:
                    def pytest_sessionstart(self, session): note("hook", what="start object", id=who(session))
                def pytest_configure(config): config.pluginmanager.register(Plugin())
            """,
            "test_a.py": BUSY,
        }
    )
    result = s.run()
    assert result.code == 0
    who = ["main"] if way == "plain" else ["gw0", "gw1", "main"]
    for what in ("start", "start object", "finish"):
        assert sorted(n["id"] for n in notes(s.state, "hook") if n["what"] == what) == who


@pytest.mark.ways(*ALL)
def test_what_a_conftest_puts_out_in_each_worker_is_there_when_it_is_down(suite, way):
    s = suite(
        {
            "noting.py": NOTE,
            "conftest.py": """
                import pytest
                from noting import note
                RAN = []
                def pytest_runtest_logreport(report): RAN.append(report.nodeid)
                def pytest_sessionfinish(session):
                    if hasattr(session.config, "workeroutput"):
                        session.config.workeroutput["ran"] = RAN
                        session.config.workeroutput["long"] = "x" * 5_000_000
                @pytest.hookimpl(optionalhook=True)
                def pytest_testnodedown(node, error):
                    note("down", id=node.gateway.id, ran=node.workeroutput["ran"], long=len(node.workeroutput["long"]))
            """,
            "test_a.py": BUSY,
        }
    )
    assert s.run().code == 0
    down = notes(s.state, "down")
    assert sorted(n["id"] for n in down) == ([] if way == "plain" else ["gw0", "gw1"])
    assert all(n["long"] == 5_000_000 for n in down)
    assert len({nodeid for n in down for nodeid in n["ran"]}) == (0 if way == "plain" else 8)


@pytest.mark.ways("plain", "dagz")
def test_a_report_that_no_frame_holds_loses_the_middle_of_its_texts(suite, way):
    s = suite(
        {
            "test_a.py": """
                def test_long():
                    print("begins" + "x" * 70_000_000 + "ends")
                def test_short(): pass
            """
        }
    )
    result = s.run("-qq")
    assert result.code == 0
    text = result.report("::test_long").section("Captured stdout call")
    assert text.startswith("begins") and text.endswith("ends\n")
    assert ("dagz leaves out" in text) is s.is_dagz


@pytest.mark.ways("plain", "dagz")
def test_a_node_id_of_a_megabyte(suite, way):
    code = "import pytest\n@pytest.mark.parametrize('n', range(2), ids=lambda n: 'y' * 1_000_000 + str(n))\n"
    result = suite({"test_a.py": code + "def test_a(n): assert n\n"}).run("-qq", "--tb=no")
    assert result.code == 1
    assert sorted((nodeid[-2:], what) for nodeid, what in result.outcomes.items()) == [
        ("0]", "failed"),
        ("1]", "passed"),
    ]


@pytest.mark.ways(*ALL)
def test_what_a_kept_stream_is_told_between_phases_is_in_the_next_section(suite, way):
    s = suite(
        {
            "conftest.py": """
                import logging, sys, pytest
                LOGGER = logging.getLogger("kept")
                @pytest.hookimpl(hookwrapper=True, tryfirst=True)
                def pytest_runtest_teardown(item):
                    LOGGER.warning("before the teardown")
                    yield
            """,
            "test_a.py": """
                import logging, sys
                def test_a():
                    logging.getLogger("kept").addHandler(logging.StreamHandler(sys.stdout))
            """,
        }
    )
    report = s.run().report("::test_a", "teardown")
    assert report.section("Captured stdout teardown") == "before the teardown\n"


def test_gc_tells_of_what_modules_made_at_import(suite, way):
    s = suite(
        {
            "test_a.py": """
                import gc
                class Thing: pass
                THING = Thing()
                def has(things, one): return any(each is one for each in things)
                def test_referrers(): assert has(gc.get_referrers(THING), globals())
                def test_objects(): assert has(gc.get_objects(), THING)
                def test_objects_of_a_generation():
                    gc.collect()
                    assert has(gc.get_objects(generation=2), THING)
                def test_an_argument_is_no_referrer():
                    found = gc.get_referrers([1])
                    assert found == []
            """
        }
    )
    result = s.run()
    assert result.code == 0 and result.counts == {"passed": 4}


@pytest.mark.ways(*ALL)
def test_modules_see_variables_that_the_main_process_sets_before_collection(suite, way):
    s = suite(
        {
            "conftest.py": """
                import os
                def pytest_configure(config):
                    if not hasattr(config, "workerinput"):
                        os.environ["AT_CONFIGURE"] = "one"
                        os.environ.pop("GONE", None)
                def pytest_sessionstart(session):
                    os.environ.setdefault("AT_START", "two")
                    if not hasattr(session.config, "workerinput"):
                        os.environ["ONLY_MAIN"] = "three"
            """,
            "test_a.py": """
                import os
                NAMES = ("AT_CONFIGURE", "AT_START", "ONLY_MAIN", "GONE")
                SEEN = [os.environ.get(name) for name in NAMES]
                def test_at_import(): assert SEEN == ["one", "two", "three", None]
                def test_later(): assert [os.environ.get(name) for name in NAMES] == SEEN
            """,
        }
    )
    result = s.run(env={"GONE": "still there"})
    assert result.code == 0, result.out
