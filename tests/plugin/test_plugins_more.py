"""More plugins that know workers or serve tests, unmodified: each does what it does in plain pytest."""

from __future__ import annotations

import json
import re

import pytest

ALL = pytest.mark.ways("plain", "xdist", "dagz")

NUMBERED = {
    "test_n.py": """
        import pytest
        @pytest.mark.parametrize("n", range(12))
        def test_n(n): assert n != 3
    """
}


@ALL
def test_random_order_has_one_seed_for_all(suite, way):
    s = suite(NUMBERED, family="more")
    result = s.run("--random-order", "--random-order-seed=4", "-v", workers=1)
    assert result.counts == {"passed": 11, "failed": 1} and "--random-order-seed=4" in result.out
    order = [r.nodeid for r in result.reports if r.when == "call"]
    assert order != [f"test_n.py::test_n[{n}]" for n in range(12)]
    again = s.run("--random-order", "--random-order-seed=4", workers=1)
    assert [r.nodeid for r in again.reports if r.when == "call"] == order


@ALL
def test_instafail_tells_a_failure_before_the_end(suite, way):
    result = suite(NUMBERED, family="more").run("--instafail", "--tb=short", "-v")
    assert result.counts == {"passed": 11, "failed": 1}
    assert "assert 3 != 3" in result.out.rpartition("PASSED")[0] or way != "plain"
    assert result.out.count("E   assert 3 != 3") == 1


@ALL
def test_json_report_has_every_test_once(suite, way):
    s = suite(NUMBERED, family="more")
    assert s.run("--json-report", "--json-report-file=report.json").code == 1
    told = json.loads((s.path / "report.json").read_text())
    assert told["summary"]["passed"] == 11 and told["summary"]["failed"] == 1
    assert len({test["nodeid"] for test in told["tests"]}) == 12 == len(told["tests"])
    (failed,) = [test for test in told["tests"] if test["outcome"] == "failed"]
    assert "assert 3 != 3" in failed["call"]["crash"]["message"]


@ALL
def test_allure_has_every_test_once(suite, way):
    s = suite(
        {
            "test_a.py": "import allure\n@allure.title('Our title')\ndef test_a():\n    with allure.step('one'): pass\n"
        },
        family="more",
    )
    assert s.run("--alluredir=allure").code == 0
    (told,) = [json.loads(path.read_text()) for path in (s.path / "allure").glob("*-result.json")]
    assert told["name"] == "Our title" and told["status"] == "passed"
    assert [step["name"] for step in told["steps"]] == ["one"]


@ALL
def test_xprocess_starts_one_server_for_all(suite, way):
    s = suite(
        {
            "conftest.py": """
                import sys, pytest
                from xprocess import ProcessStarter
                @pytest.fixture(scope="session")
                def server(xprocess):
                    class Starter(ProcessStarter):
                        pattern = "listening"
                        timeout = 30
                        args = [sys.executable, "-uc", "import time; print('listening'); time.sleep(60)"]
                    xprocess.ensure("server", Starter)
                    yield xprocess.getinfo("server").pid
                    xprocess.getinfo("server").terminate()
            """,
            "test_x.py": "def test_x(server): assert server",
        },
        family="more",
    )
    assert s.run().code == 0


@ALL
def test_servers_of_httpserver_flask_and_aiohttp(suite, way):
    s = suite(
        {
            "pytest.ini": "[pytest]\nasyncio_mode = auto\n",
            "conftest.py": """
                import flask, pytest
                @pytest.fixture
                def app():
                    app = flask.Flask("shop")
                    app.add_url_rule("/", view_func=lambda: "from flask")
                    return app
            """,
            "test_s.py": """
                import urllib.request, pytest
                from aiohttp import web
                @pytest.mark.parametrize("n", range(4))
                def test_http(n, httpserver):
                    httpserver.expect_request("/x").respond_with_data(str(n))
                    assert urllib.request.urlopen(httpserver.url_for("/x")).read() == str(n).encode()
                def test_flask(client): assert client.get("/").data == b"from flask"
                async def test_aiohttp(aiohttp_client):
                    async def hello(request): return web.Response(text="hello")
                    app = web.Application()
                    app.router.add_get("/", hello)
                    client = await aiohttp_client(app)
                    assert await (await client.get("/")).text() == "hello"
            """,
        },
        family="more",
    )
    result = s.run()
    assert result.code == 0 and result.counts["passed"] == 6, re.findall("^E .*", result.out, re.M)
