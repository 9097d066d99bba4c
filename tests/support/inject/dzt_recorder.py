"""A pytest plugin for ``-p dzt_recorder``: what reporters of the main process were told, as JSON lines.

It writes to the file named by ``DZT_RECORD``, only in the process that reports (the one without
``workerinput``), and knows nothing of xdist or dagz: it sees what any reporter sees.

One object a line, by kind:

- ``test``: nodeid, when, outcome, wasxfail, sections ``[[name, text]..]``, longrepr (its whole
  text), last (its last line), properties, keywords, location, duration, worker, node
- ``collect``: nodeid, outcome, longrepr
- ``deselected``: count; ``warning``: category, message, when, nodeid; ``finish``: code, collected,
  failed, workerinput (whether the reporting config has one), items
"""

from __future__ import annotations

import json
import os
from typing import Any


class Recorder:
    def __init__(self, path: str, config: Any) -> None:
        self.file = open(path, "a", encoding="utf-8", errors="surrogatepass")  # noqa: SIM115
        self.config = config

    def put(self, kind: str, **fields: Any) -> None:
        self.file.write(json.dumps({"kind": kind, **fields}, default=repr) + "\n")

    def pytest_runtest_logreport(self, report: Any) -> None:
        text = "" if report.longrepr is None else str(report.longreprtext)
        node = getattr(report, "node", None)
        self.put(
            "test",
            nodeid=report.nodeid,
            when=report.when,
            type=type(report).__name__,
            outcome=report.outcome,
            wasxfail=getattr(report, "wasxfail", None),
            sections=[[name, content] for name, content in report.sections],
            longrepr=text,
            shape=type(report.longrepr).__name__,
            last=text.strip().rsplit("\n", 1)[-1],
            properties=[[str(k), v] for k, v in report.user_properties],
            keywords=sorted(map(str, report.keywords)),
            location=list(report.location),
            duration=report.duration,
            worker=getattr(report, "worker_id", None),
            node=getattr(getattr(node, "gateway", None), "id", None),
        )

    def pytest_collectreport(self, report: Any) -> None:
        if report.outcome != "passed":
            self.put(
                "collect",
                nodeid=report.nodeid,
                outcome=report.outcome,
                longrepr=str(report.longreprtext),
            )

    def pytest_deselected(self, items: Any) -> None:
        self.put("deselected", count=len(items))

    def pytest_warning_recorded(self, warning_message: Any, when: str, nodeid: str) -> None:
        self.put(
            "warning",
            category=warning_message.category.__name__,
            message=str(warning_message.message),
            when=when,
            nodeid=nodeid,
            file=os.path.basename(warning_message.filename),
            line=warning_message.lineno,
        )

    def pytest_sessionfinish(self, session: Any, exitstatus: Any) -> None:
        self.put(
            "finish",
            code=int(exitstatus),
            collected=session.testscollected,
            failed=session.testsfailed,
            workerinput=hasattr(session.config, "workerinput"),
            items=len(getattr(session, "items", [])),
        )

    def pytest_unconfigure(self) -> None:
        self.file.close()


def pytest_configure(config: Any) -> None:
    if "DZT_RECORD" in os.environ and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(os.environ["DZT_RECORD"], config), "dzt_recorder_obj")
