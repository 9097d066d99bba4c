"""The HTTP API: every answer fits the document that describes it; events are complete and come once."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import jsonschema
import pytest
from daemon_place import SOON_S, Answer, DaemonPlace, ask_on, make_certificate, trusting, wait_for
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012
from zb_place import ROOT

TOKEN = "0123456789abcdef0123"
READER = "fedcba9876543210fedc"
PROJECT = "git@example.org:acme/shop.git"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[DaemonPlace]:
    place = DaemonPlace(tmp_path)
    yield place
    place.down()


class Contract:
    """The OpenAPI document that a daemon serves, with the schemas that it refers to."""

    def __init__(self, place: DaemonPlace) -> None:
        self.place = place
        self.document = place.ask("/api/v1/openapi.json").json()
        self.seen: set[tuple[str, int]] = set()
        names = set(re.findall(r"schemas/([\w.]+\.json)", json.dumps(self.document)))
        self.schemas = {name: place.ask(f"/api/v1/schemas/{name}").json() for name in names}
        resources = [
            (f"schemas/{name}", Resource(schema, DRAFT202012)) for name, schema in self.schemas.items()
        ]
        self.registry: Registry[Any] = Registry().with_resources(resources)

    def route(self, target: str) -> str:
        path = target.partition("?")[0]
        for pattern in sorted(self.document["paths"], key=lambda p: p.count("{")):
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", pattern), path):
                return str(pattern)
        raise AssertionError(f"{path} is not in the document")

    def valid(self, schema: dict[str, Any], data: Any) -> None:
        jsonschema.Draft202012Validator(schema, registry=self.registry).validate(data)

    def check(self, target: str, answer: Answer) -> Answer:
        """The answer has a status, a type and a body that the document tells of."""
        route = self.route(target)
        responses = self.document["paths"][route]["get"]["responses"]
        assert str(answer.status) in responses, (target, answer)
        response = responses[str(answer.status)]
        if "$ref" in response:
            response = self.document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        assert answer.type in response["content"], (target, answer)
        content = response["content"][answer.type]
        if "x-line" in content:
            for line in answer.lines():
                self.valid(content["x-line"], line)
        elif "json" in answer.type:
            self.valid(content["schema"], answer.json())
        self.seen.add((route, answer.status))
        return answer

    def get(self, target: str, **headers: str) -> Answer:
        return self.check(target, self.place.ask(target, **headers))

    def event(self, name: str, data: Any) -> None:
        content = self.document["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]
        self.valid(content["text/event-stream"]["x-events"][name], data)


def test_the_document_is_openapi_and_has_every_route(place: DaemonPlace) -> None:
    place.up()
    contract = Contract(place)
    document = json.loads(
        re.sub(
            r'"\$ref": "schemas/([\w.]+\.json)"',
            lambda m: '"$ref": "' + (ROOT / "store/schemas" / m[1]).as_uri() + '"',
            json.dumps(contract.document),
        )
    )
    OpenAPIV31SpecValidator(document).validate()
    for schema in contract.schemas.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    source = (ROOT / "store/http/routes.c").read_text()
    routes = re.findall(r'\{\s*"(\w+)",\s*"([^"]+)",\s*(?:HTTP_\w+),\s*(NULL|"[^"]*")', source)
    paths = contract.document["paths"]
    assert {(m.lower(), path) for m, path, _ in routes} == {(m, path) for path in paths for m in paths[path]}
    for method, path, args in routes:
        parameters = paths[path][method.lower()].get("parameters", [])
        told = {p["name"] for p in parameters if p["in"] == "query"}
        assert told == set(args.strip('"').split()) - {"NULL"}, path


ANY_PROJECT = "project=" + quote(PROJECT, safe="")
PLAIN = (
    "/",
    f"/?{ANY_PROJECT}",
    "/style.css",
    "/healthz",
    "/metrics",
    "/api/v1/openapi.json",
    "/api/v1/projects",
)
OF_JOB = (
    "", "?failures=1", "/tests", "/tests?text=1&sort=duration", "/tests?q=outcome:failed&q=not:core", "/tests/@0",
    "/near?name=test_a", "/logs", "/logs?failed=1", "/logs?worker=jw0", "/ledger",
    "/spans", "/spans?worker=jw1&limit=1",
)  # fmt: skip
REFUSED_OF_JOB = {
    "/tests?q=a:b": 400,
    "/logs?worker=x": 400,
    "/near": 400,
    "/spans?worker=x": 400,
    "/spans?test=x": 404,
    "/spans/x": 404,
    "/spans/ffffffffffffffff": 404,
    "/spans/aa?limit=0": 400,
    "/tests/nothing": 404,
}


REFUSED_LETTERS = {
    "": 400,
    "?project=x": 400,
    "?project=x&node=0": 400,
    "?project=x&node=1&box=X": 400,
    "?project=x&node=1&wait_ms=10001": 400,
    "?project=x&node=1": 404,
}


def test_every_answer_fits_the_document(place: DaemonPlace) -> None:
    place.fill("mixed", "passed", "broken", "empty")
    place.up()
    contract = Contract(place)
    jobs = [job["id"] for job in contract.get("/api/v1/jobs").json()["jobs"]]
    assert len(jobs) == 4
    targets = [*PLAIN, "/api/v1/schemas/zb.job.1.json", f"/api/v1/durations?{ANY_PROJECT}"]
    targets += [f"/api/v1/jobs/{name}?{ANY_PROJECT}" for name in ("latest", "j1", "@{-1}")]
    targets += [f"/api/v1/jobs/{job}{rest}" for job in jobs[1:] for rest in OF_JOB]
    targets += [f"/api/v1/jobs/{jobs[0]}{rest}" for rest in OF_JOB if "@0" not in rest]
    tests = contract.get(f"/api/v1/jobs/{jobs[-1]}/tests").lines()
    targets += [f"/api/v1/jobs/{jobs[-1]}/tests/{quote(test['id'], safe='')}" for test in tests]
    for job in jobs:
        ran = [test["span"] for test in contract.get(f"/api/v1/jobs/{job}/tests").lines() if "span" in test]
        targets += [
            f"/api/v1/jobs/{job}/spans/{key}{rest}" for key in ran for rest in ("", "?limit=1&offset=1")
        ]
    for target in targets:
        assert contract.get(quote(target, safe="/?&=:%@+")).status == 200, target
    answered = {route for route, status in contract.seen if status == 200}
    readable = {path for path, methods in contract.document["paths"].items() if "get" in methods}
    others = {"/api/v1/meetings/{key}/members", "/api/v1/meetings/{key}/letters", "/api/v1/events"}
    assert answered == readable - others


def test_refusals_fit_the_document(place: DaemonPlace) -> None:
    place.fill("mixed")
    place.up()
    contract = Contract(place)
    job = contract.get("/api/v1/jobs").json()["jobs"][0]["id"]
    refused = {f"/api/v1/jobs/{job}{rest}": status for rest, status in REFUSED_OF_JOB.items()}
    refused |= {"/api/v1/jobs?limit=0": 400, "/api/v1/jobs?x=1": 400, "/api/v1/jobs/latest": 400}
    refused |= {"/api/v1/events?topics=x": 400, "/api/v1/schemas/no.json": 404}
    refused |= {f"/api/v1/jobs/j99?{ANY_PROJECT}": 404, f"/api/v1/events?job=j99&{ANY_PROJECT}": 404}
    refused |= {"/api/v1/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV": 404}
    refused |= {f"/api/v1/meetings/k/letters{rest}": status for rest, status in REFUSED_LETTERS.items()}
    for target, status in refused.items():
        assert contract.get(target).status == status, target
    assert contract.get("/api/v1/jobs", Host="evil.example").status == 421
    assert contract.get("/api/v1/jobs", Origin="http://evil.example").status == 403
    assert contract.get("/api/v1/jobs", Authorization="Bearer nonsense").status == 401


def test_the_documents_are_those_of_zb(place: DaemonPlace) -> None:
    place.fill("mixed")
    place.up()
    job = place.ask("/api/v1/jobs").json()["jobs"][0]["id"]
    for target, command in (
        ("/api/v1/jobs", ["jobs"]),
        (f"/api/v1/jobs/{job}", ["job", job]),
        (f"/api/v1/jobs/{job}/tests", ["tests", job]),
        (f"/api/v1/jobs/{job}/tests?text=1&sort=duration", ["tests", job, "--text", "--sort=duration"]),
        (f"/api/v1/jobs/{job}/logs", ["logs", job]),
        (f"/api/v1/jobs/{job}/logs?failed=1", ["logs", job, "--failed"]),
    ):
        assert place.ask(target).body.decode() == place.zb(*command, "--json").stdout, target


def pages(place: DaemonPlace, target: str) -> tuple[bytes, int]:
    body, count, next_target = b"", 0, target
    while next_target:
        answer = place.ask(next_target)
        assert answer.status == 200
        body, count = body + answer.body, count + 1
        link = re.fullmatch(r'<(.+)>; rel="next"', answer.headers.get("link", ""))
        next_target = link[1] if link else ""
    return body, count


def test_pages_put_together_are_the_whole(place: DaemonPlace) -> None:
    place.fill("mixed", "passed", "empty")
    place.up()
    job = place.ask("/api/v1/jobs").json()["jobs"][-1]["id"]
    for name in ("tests", "tests?sort=duration", "tests?q=test_&text=1", "logs", "spans"):
        target = f"/api/v1/jobs/{job}/{name}"
        whole = place.ask(target).body
        for limit in (1, 2, 3):
            joined, count = pages(place, target + ("&" if "?" in target else "?") + f"limit={limit}")
            assert joined == whole
            assert count >= whole.count(b"\n") / limit
    ids: list[str] = []
    target = "/api/v1/jobs?limit=1"
    while target:
        answer = place.ask(target)
        ids += [j["id"] for j in answer.json()["jobs"]]
        target = answer.headers.get("link", "").partition(">")[0].removeprefix("<")
    assert ids == [j["id"] for j in place.ask("/api/v1/jobs").json()["jobs"]]


def test_metrics_are_prometheus_text(place: DaemonPlace) -> None:
    place.up()
    place.ask("/healthz")
    answer = place.ask("/metrics")
    assert answer.type == "text/plain; version=0.0.4"
    sample = re.compile(r'[a-z_]+(\{[a-z]+="[^"]*"\})? [-+0-9.e]+|[a-z_]+\{le="\+Inf"\} \d+')
    kinds = {}
    for line in answer.body.decode().splitlines():
        if line.startswith("# TYPE "):
            kinds[line.split()[2]] = line.split()[3]
        elif not line.startswith("# HELP "):
            assert sample.fullmatch(line), line
            name = re.sub(r"_(bucket|sum|count)$", "", re.split(r"[ {]", line)[0])
            assert name in kinds or re.split(r"[ {]", line)[0] in kinds, line
    assert re.search(r'dagz_http_answers_total\{code="2xx"\} [1-9]', answer.body.decode())


# ---------------------------------------------------------------- events


def test_events_fit_the_document_and_have_everything(place: DaemonPlace) -> None:
    place.up()
    contract = Contract(place)
    stream = place.events()
    place.fill("mixed")
    job = place.ask("/api/v1/jobs").json()["jobs"][0]
    events = stream.until("job") + stream.until("job") + stream.until("job")
    for event in events:
        contract.event(event.name, event.data)
    results = [e.data for e in events if e.name == "result"]
    assert len(results) == job["counted"]
    tests = {t["id"]: t["outcome"] for t in place.ask(f"/api/v1/jobs/{job['id']}/tests").lines()}
    told = {r["test"]: r["outcome"] for r in results if r["counts_as"] == "counted"}
    assert {test for test in told if told[test] != tests[test]} == {"tests/test_core.py::test_flaky"}
    logs = [line["text"] for line in place.ask(f"/api/v1/jobs/{job['id']}/logs").lines()]
    assert sorted(e.data["text"] for e in events if e.name == "log") == sorted(logs)
    stream.close()


def test_a_client_that_comes_back_at_any_place_gets_the_rest_once(place: DaemonPlace) -> None:
    place.fill("mixed", "passed")
    place.up()
    whole = place.events("?after=0").take(25)
    assert len({e.id for e in whole}) == 25
    for cut in range(1, 25):
        stream = place.events(Last_Event_ID=whole[cut - 1].id)
        assert stream.take(25 - cut) == whole[cut:]
        stream.close()


def test_ids_outlive_the_daemon(place: DaemonPlace) -> None:
    place.fill("mixed")
    place.up()
    seen = place.events("?after=0").take(5)
    place.fill("passed")
    os.kill(place.pid(), signal.SIGKILL)
    wait_for("death", lambda: place.zb("daemon", "status").returncode == 3)
    place.up()
    rest = place.events(Last_Event_ID=seen[-1].id).until("result", test="t.py::test_c")
    whole = place.events("?after=0").until("result", test="t.py::test_c")
    assert seen + rest == whole


def test_an_id_that_is_not_known_begins_anew(place: DaemonPlace) -> None:
    place.fill("passed")
    place.up()
    contract = Contract(place)
    stream = place.events(Last_Event_ID="999999.0")
    place.fill("mixed")
    first, second = stream.take(2)
    assert (first.name, second.name) == ("reset", "job")
    contract.event("reset", first.data)
    assert place.ask("/api/v1/events?after=nonsense").status == 400


def test_what_is_written_beside_it_is_an_event_within_a_moment(place: DaemonPlace) -> None:
    place.up()
    process = place.running()
    assert process.stdin
    stream = place.events("?topics=log&after=0")
    for number in range(20):
        process.stdin.write(f"line {number}\n")
        process.stdin.flush()
        stream.until("log", text=f"line {number}\n")
    process.stdin.close()
    assert process.wait(SOON_S) == 0


def test_topics_and_job_choose(place: DaemonPlace) -> None:
    place.fill("mixed", "passed")
    place.up()
    old = place.ask("/api/v1/jobs").json()["jobs"][-1]["id"]
    only_jobs = place.events("?after=0&topics=job").take(5)
    assert {e.name for e in only_jobs} == {"job"}
    project = urlencode({"project": PROJECT, "job": "j1"})
    of_old = place.events(f"?after=0&{project}&topics=result").take(10)
    assert {(e.name, e.data["job"]) for e in of_old} == {("result", old)}


def test_many_clients_of_many_kinds_see_the_same(place: DaemonPlace) -> None:
    place.up()
    streams = [
        place.events(f"?topics={topics}") for topics in ("result", "result,log", "job") for _ in range(10)
    ]
    place.fill("mixed")
    got: list[list[str]] = [[] for _ in streams]

    def read(at: int) -> None:
        count = {0: 10, 1: 14, 2: 3}[at // 10]
        got[at] = [e.id for e in streams[at].take(count)]

    threads = [threading.Thread(target=read, args=(at,)) for at in range(len(streams))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SOON_S)
    for kind in range(3):
        assert got[kind * 10]
        assert all(ids == got[kind * 10] for ids in got[kind * 10 : kind * 10 + 10])


# ---------------------------------------------------------------- tokens and TLS


def tls_place(place: DaemonPlace, tmp_path: Path) -> Path:
    cert, key = make_certificate(tmp_path)
    place.settings(
        f"port: 0\nlisten: [0.0.0.0]\ntls: {{cert: {cert}, key: {key}}}\npublic_url: https://dagz.acme.example\n"
    )
    tokens = place.home / "local.env/tokens"
    tokens.write_text(f"{TOKEN} {PROJECT}\n{READER} git@example.org:acme/other.git read-only\n")
    tokens.chmod(0o600)
    return cert


def test_beyond_this_machine_all_is_tls_and_a_token_sees_its_project(
    place: DaemonPlace, tmp_path: Path
) -> None:
    place.fill("mixed")
    cert = tls_place(place, tmp_path)
    place.up()
    port = place.address()[1]
    contract_job = ""

    def ask(target: str, token: str = "", host: str = "dagz.acme.example") -> Answer:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=SOON_S, context=trusting(cert))
        headers = {"Host": host} | ({"Authorization": f"Bearer {token}"} if token else {})
        return ask_on(connection, target, "GET", None, headers)

    assert ask("/healthz").status == 200
    assert ask("/api/v1/jobs").status == 401
    assert ask("/api/v1/jobs", host="localhost").status == 401
    assert ask("/api/v1/jobs", "x" * 20).status == 401
    jobs = ask("/api/v1/jobs", TOKEN).json()["jobs"]
    assert len(jobs) == 1
    contract_job = jobs[0]["id"]
    assert ask(f"/api/v1/jobs/{contract_job}", TOKEN).status == 200
    for target in ("", "/tests", "/logs", "/near?name=x", "/tests/@0"):
        there = ask(f"/api/v1/jobs/{contract_job}{target}", READER)
        nowhere = ask(f"/api/v1/jobs/01ARZ3NDEKTSV4RRFFQ69G5FAV{target}", READER)
        assert there.status == nowhere.status == 404
        assert there.body.replace(contract_job.encode(), b"") == nowhere.body.replace(
            b"01ARZ3NDEKTSV4RRFFQ69G5FAV", b""
        )
    assert ask("/api/v1/jobs", READER).json()["jobs"] == []
    assert ask("/api/v1/projects", READER).json()["projects"] == []
    assert ask("/api/v1/jobs?" + urlencode({"project": PROJECT}), READER).status == 404
    assert contract_job not in ask("/", READER).body.decode()
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        place.ask("/healthz")  # not TLS


def test_a_proxy_on_this_machine_needs_tokens_for_the_public_name(place: DaemonPlace, tmp_path: Path) -> None:
    place.settings("port: 0\npublic_url: https://dagz.acme.example\n")
    place.up()
    assert place.ask("/api/v1/jobs").status == 200
    assert place.ask("/api/v1/jobs", Host="dagz.acme.example").status == 401
    assert place.ask("/healthz", Host="dagz.acme.example", Origin="https://dagz.acme.example").status == 200
