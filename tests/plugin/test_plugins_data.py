"""pytest-cov and pytest-django, unmodified: each does under dagz what it does in plain pytest."""

from __future__ import annotations

import json
import re
import sqlite3

import pytest
from conftest import check
from snippets import COVERED

PLAIN = pytest.mark.ways("plain", "dagz", "dagz+xdist")
ALL = pytest.mark.ways("plain", "xdist", "dagz", "dagz+xdist")

# ---------------------------------------------------------------- pytest-cov


@ALL
def test_cov_reports_the_same_lines(suite, way):
    s = suite(COVERED, family="plugins")
    result = s.run("--cov=pkg", "--cov-report=term-missing", "--cov-report=json")
    assert result.code == 0
    assert re.search(r"pkg/lib\.py +9 +2 +78% +7, 9", result.out)
    lines = json.loads((s.path / "coverage.json").read_text())["files"]["pkg/lib.py"]
    assert lines["missing_lines"] == [7, 9] and lines["executed_lines"] == [1, 2, 3, 4, 5, 6, 8]
    assert list(s.path.glob(".coverage.*")) == [], "every data file was combined"


@ALL
def test_cov_with_branches_contexts_and_a_limit(suite, way):
    files = {**COVERED, ".coveragerc": "[run]\nbranch = true\n"}
    s = suite(files, family="plugins")
    result = s.run("--cov=pkg", "--cov-context=test", "--cov-report=html", "--cov-fail-under=99")
    assert result.code == 1 and "Coverage failure: total of" in result.out + result.err
    with sqlite3.connect(s.path / ".coverage") as data:
        contexts = {row[0] for row in data.execute("select context from context")}
    assert {"test_a.py::test_used[1]|run", "test_b.py::test_other|run"} <= contexts


@ALL
def test_no_cov(suite, way):
    s = suite({**COVERED, "pytest.ini": "[pytest]\naddopts = --cov=pkg\n"}, family="plugins")
    result = s.run("--no-cov")
    assert result.code == 0 and not (s.path / ".coverage").exists()


# ---------------------------------------------------------------- pytest-django

DJANGO = {
    "pytest.ini": "[pytest]\nDJANGO_SETTINGS_MODULE = site_settings\n",
    "site_settings.py": """
        import os
        SECRET_KEY = "x"
        INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "shop"]
        DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3",
                                 "NAME": os.path.join(os.environ["DZT_STATE"], "real.sqlite3"),
                                 "TEST": {"NAME": os.path.join(os.environ["DZT_STATE"], "test.sqlite3")}}}
        DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
        ROOT_URLCONF = "shop.urls"
        ALLOWED_HOSTS = ["*"]
    """,
    "shop/__init__.py": "",
    "shop/models.py": """
        from django.db import models
        class Thing(models.Model):
            name = models.CharField(max_length=20, unique=True)
    """,
    "shop/urls.py": """
        from django.http import HttpResponse
        from django.urls import path
        from .models import Thing
        urlpatterns = [path("count/", lambda request: HttpResponse(str(Thing.objects.count())))]
    """,
    "test_shop.py": """
        import time, pytest
        from django.db import connection
        from django.test import TestCase, TransactionTestCase
        from shop.models import Thing
        @pytest.mark.django_db
        @pytest.mark.parametrize("n", range(6))
        def test_create(n):
            assert Thing.objects.count() == 0
            Thing.objects.create(name="same"); time.sleep(0.02)
            assert Thing.objects.count() == 1
        @pytest.mark.django_db(transaction=True)
        def test_transaction(client):
            Thing.objects.create(name="same")
            assert client.get("/count/").content == b"1"
        def test_blocked():
            with pytest.raises(RuntimeError, match="Database access not allowed"): Thing.objects.count()
        class TestUnit(TestCase):
            @classmethod
            def setUpTestData(cls): cls.thing = Thing.objects.create(name="of the class")
            def test_one(self): self.assertEqual(Thing.objects.get().name, "of the class")
            def test_two(self): Thing.objects.all().delete()
        class TestSlow(TransactionTestCase):
            def test_commit(self): Thing.objects.create(name="x")
        def test_mail(mailoutbox, settings):
            from django.core.mail import send_mail
            settings.DEBUG = True
            send_mail("a", "b", "c@d.example", ["e@f.example"]); assert len(mailoutbox) == 1
        @pytest.mark.django_db
        def test_name(worker_name):
            assert worker_name in str(connection.settings_dict["NAME"])
    """,
    "conftest.py": """
        import os, pytest
        @pytest.fixture
        def worker_name(): return os.environ.get("PYTEST_XDIST_WORKER", "test")
    """,
}


@ALL
def test_django_has_a_database_per_worker(suite, way):
    result = suite(DJANGO, family="plugins").run()
    assert result.code == 0 and result.counts == {"passed": 13}


@ALL
def test_django_reuses_a_kept_database(suite, way):
    s = suite(DJANGO, family="plugins")
    state = {"DZT_STATE": str(s.path.parent)}
    for args in (["--reuse-db", "--create-db"], ["--reuse-db"]):
        result = check(s.project.run(s.way, *args, env=state))
        assert result.code == 0
    names = {p.name for p in s.path.parent.glob("test.sqlite3*")}
    assert names == ({"test.sqlite3"} if way == "plain" else {"test.sqlite3_gw0", "test.sqlite3_gw1"})
