"""The real suites: where each comes from, what it needs, how it is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """One suite.  Versions are pinned to the major, so that a run next month is still comparable."""

    package: str  # requirement of the project itself
    requires: Sequence[str] = ()  # what its tests need
    args: Sequence[str] = ()  # given to pytest; an option with its value is one word, for --only
    sdist: bool = False  # tests are run from the unpacked source distribution, else from the wheel
    below: str = ""  # directory to start in: in the sdist, or in site-packages for a wheel
    pytest: str = "pytest==9.*"
    small: bool = False  # part of `make test`
    env: dict[str, str] = field(default_factory=dict)
    timeout_s: int = 3600
    # (pattern, text): what the project's own plugin names after its worker, as under xdist
    worker_names: Sequence[tuple[str, str]] = ()


SUITES: dict[str, Suite] = {
    "attrs": Suite(
        "attrs==26.*",
        ["hypothesis==6.*", "cloudpickle==3.*", "pympler==1.*"],
        ["tests"],
        sdist=True,
        small=True,
    ),
    "click": Suite("click==8.*", [], ["tests"], sdist=True, small=True),
    "jinja2": Suite("jinja2==3.*", ["trio==0.*"], ["tests"], sdist=True, small=True),
    "networkx-part": Suite(
        "networkx==3.*",
        ["numpy==2.*"],
        ["algorithms/bipartite", "algorithms/centrality", "algorithms/shortest_paths", "classes"],
        below="networkx",
        small=True,
    ),
    "networkx": Suite("networkx==3.*", ["numpy==2.*", "scipy==1.*"], ["."], below="networkx"),
    "sympy": Suite("sympy==1.*", ["hypothesis==6.*"], ["core", "functions"], below="sympy"),
    "pandas": Suite(
        "pandas==3.*",
        ["hypothesis==6.*", "pyarrow"],
        [*(f"tests/{part}" for part in ("base", "dtypes", "indexes", "series", "reshape"))],
        below="pandas",
    ),
    # Its profiling tests count calls and live objects of a process that has run nothing else.
    "sqlalchemy": Suite(
        "sqlalchemy==2.*", ["greenlet==3.*"], ["test", "--ignore=test/aaa_profiling"], sdist=True
    ),
    "djangorestframework": Suite(
        "djangorestframework==3.*",
        [
            "django==5.*",
            "pytest-django==4.*",
            "dj-database-url==3.*",
            "importlib-metadata<10",
            "markdown==3.*",
            "pyyaml==6.*",
            "requests==2.*",
            "uritemplate==4.*",
            "inflection==0.5.1",
            "django-filter",
            "django-guardian<3.6",
        ],
        ["tests"],
        sdist=True,
    ),
    "pytest": Suite(
        "pytest==9.*",
        ["attrs", "hypothesis==6.*", "argcomplete", "mock", "requests", "setuptools", "xmlschema", "pexpect"],
        ["testing"],
        sdist=True,
    ),
    # Not asked for by anybody: how the product does on suites that it has not met.
    "flask": Suite("flask==3.*", ["asgiref", "python-dotenv"], ["tests"], sdist=True, pytest="pytest==8.*"),
    "werkzeug": Suite(
        "werkzeug==3.*",
        ["ephemeral-port-reserve", "pytest-timeout==2.*", "watchdog", "cryptography", "pytest-xprocess"],
        ["tests", "--ignore=tests/test_serving.py"],  # plain pytest may hang in it
        sdist=True,
    ),
    "starlette": Suite(
        "starlette==1.*",
        [
            "httpx2",
            "httpx",
            "trio==0.*",
            "jinja2",
            "itsdangerous",
            "python-multipart",
            "opentelemetry-sdk==1.*",
        ],
        ["tests"],
        sdist=True,
    ),
    "marshmallow": Suite("marshmallow==4.*", ["simplejson"], ["tests"], sdist=True),
    "packaging": Suite("packaging==26.*", ["pretend", "hypothesis==6.*", "tomli-w"], ["tests"], sdist=True),
    "pluggy": Suite("pluggy==1.*", ["pytest-benchmark==5.*"], ["testing"], sdist=True),
    "pygments": Suite("pygments==2.*", ["wcag-contrast-ratio", "lxml"], ["tests"], sdist=True),
    "structlog": Suite(
        "structlog==26.*",
        [
            "freezegun",
            "pretend",
            "pytest-asyncio==1.*",
            "time-machine",
            "rich",
            "greenlet",
            "better-exceptions",
        ],
        ["tests"],
        sdist=True,
    ),
    "babel": Suite("babel==2.*", ["freezegun", "pytz", "tzdata", "setuptools"], ["tests"], sdist=True),
    "anyio": Suite(
        "anyio==4.*",
        [
            "trio==0.*",
            "hypothesis==6.*",
            "psutil",
            "pytest-mock==3.*",
            "pytest-timeout==2.*",
            "trustme",
            "truststore",
            "uvloop",
        ],
        ["tests", "--timeout=120"],  # its own limit of 20 s is for a machine that does nothing else
        sdist=True,
    ),
    "requests": Suite(
        "requests==2.*",
        ["pytest-httpbin", "pytest-mock==3.*", "pysocks", "trustme", "httpbin", "flask"],
        ["tests"],
        sdist=True,
    ),
    "alembic": Suite(
        "alembic==1.*",
        ["sqlalchemy==2.*", "tzdata", "black", "mako"],
        ["tests"],
        sdist=True,
        worker_names=[(r"scratch_test_[0-9a-f]{12}", "scratch")],
    ),
    "pydantic": Suite(
        "pydantic==2.*",
        [
            "pytest-examples",
            "dirty-equals",
            "jsonschema",
            "pytest-benchmark==5.*",
            "pytest-mock==3.*",
            "faker",
            "email-validator",
            "cloudpickle",
            "pytz",
            "tzdata",
            "pytest-run-parallel",
            "time-machine",
            "typing-inspection",
            "packaging",
        ],
        [
            "tests",
            *(f"--ignore=tests/{part}" for part in ("typechecking", "mypy", "test_docs.py")),
            "--benchmark-skip",
        ],
        sdist=True,
    ),
    "numpy": Suite(
        "numpy==2.*",
        ["hypothesis==6.*", "typing-extensions", "charset-normalizer"],
        [
            # not from within: there `typing` would be numpy's
            *(f"numpy/{part}" for part in ("lib", "linalg", "ma", "random", "fft", "polynomial")),
            "-mnot slow",
        ],
    ),
    "tornado": Suite("tornado==6.*", ["pycurl"], ["tornado/test"]),
    "mypy": Suite(
        "mypy==2.*",
        ["attrs", "filelock", "lxml", "psutil", "setuptools", "tomli"],
        [
            *(
                f"mypy/test/test{part}.py"
                for part in ("parse", "types", "infer", "subtypes", "semanal", "transform")
            ),
            "--override-ini=addopts=",  # its own ask for xdist
        ],
        sdist=True,
    ),
    "typer": Suite(
        "typer==0.*",
        ["rich", "shellingham", "coverage", "typing-extensions", "annotated-doc"],
        ["tests"],
        sdist=True,
    ),
    "dateutil": Suite(
        "python-dateutil==2.*",
        ["hypothesis==6.*", "freezegun", "six", "pytest-cov==7.*"],
        ["tests"],
        sdist=True,
        pytest="pytest==8.*",
    ),
    "pyparsing": Suite(
        "pyparsing==3.*", ["railroad-diagrams", "jinja2", "matplotlib"], ["tests"], sdist=True
    ),
    "aiohttp": Suite(
        "aiohttp==3.*",
        [
            "pytest-mock==3.*",
            "proxy.py",
            "trustme",
            "re-assert",
            "time-machine",
            "isal",
            "blockbuster",
            "freezegun",
            "pytest-timeout==2.*",
            "pytest-cov==7.*",
            "setuptools-git",
            "zlib-ng",
            "brotli",
        ],
        ["tests", "--override-ini=addopts=", "-pno:codspeed"],
        sdist=True,
    ),
    "tomlkit": Suite("tomlkit==0.*", ["pyyaml==6.*"], ["tests"], sdist=True),
    "tenacity": Suite("tenacity==9.*", ["tornado==6.*", "typeguard", "trio==0.*"], ["tests"], sdist=True),
    "trio": Suite(
        "trio==0.*",
        ["trustme", "pyopenssl", "async-generator", "astor", "jedi", "exceptiongroup"],
        ["trio/_tests", "--ignore=trio/_tests/tools", "-ptrio._tests.pytest_plugin"],
    ),
    "cattrs": Suite(
        "cattrs==26.*",
        [
            "hypothesis==6.*",
            "immutables",
            "msgpack",
            "orjson",
            "msgspec",
            "pyyaml==6.*",
            "tomlkit",
            "ujson",
            "cbor2",
            "pymongo",
        ],
        ["tests", "--override-ini=addopts="],
        sdist=True,
    ),
    "falcon": Suite(
        "falcon==4.*",
        [
            "pytest-asyncio==1.*",
            "requests==2.*",
            "httpx",
            "msgpack",
            "pyyaml==6.*",
            "jsonschema",
            "mujson",
            "testtools",
        ],
        ["tests"],
        sdist=True,
        pytest="pytest==8.*",  # its tests replace os.fstat, which the capture of pytest 9 calls
    ),
    "sphinx": Suite(
        "sphinx==9.*",
        ["defusedxml", "setuptools", "pytest-xdist==3.*", "typing-extensions", "html5lib", "cython"],
        ["tests"],
        sdist=True,
    ),
    "traitlets": Suite(
        "traitlets==5.*",
        ["argcomplete", "pytest-mock==3.*"],
        ["tests", "--ignore=tests/test_typing.py"],
        sdist=True,
    ),
    "dask": Suite(
        "dask==2026.*",
        [
            "numpy==2.*",
            "pytest-timeout==2.*",
            "pytest-rerunfailures==16.*",
            "pytest-mock==3.*",
            "cloudpickle==3.*",
        ],
        [f"dask/{part}tests" for part in ("", "array/", "bag/", "bytes/")],
    ),
    "xarray": Suite(
        "xarray==2026.*",
        [
            "numpy==2.*",
            "pandas==3.*",
            "scipy==1.*",
            "dask==2026.*",
            "hypothesis==6.*",
            "pytest-asyncio==1.*",
            "pytz",
        ],
        ["xarray/tests"],
    ),
    "scikit-learn": Suite(
        "scikit-learn==1.*",
        ["pandas==3.*"],
        [
            f"sklearn/{part}"
            for part in ("utils", "metrics", "preprocessing", "cluster", "neighbors", "feature_extraction")
        ],
    ),
    "urllib3": Suite(
        "urllib3==2.*",
        [
            "h2",
            "trustme",
            "tornado==6.*",
            "pytest-timeout==2.*",
            "pysocks",
            "idna",
            "httpx",
            "hypercorn",
            "quart",
            "quart-trio",
            "trio==0.*",
            "cryptography",
        ],
        ["test"],
        sdist=True,
    ),
    "jsonschema": Suite("jsonschema==4.*", ["jsonpath-ng"], ["jsonschema/tests"], sdist=True),
    "boltons": Suite("boltons==26.*", [], ["tests"], sdist=True),
    "coverage": Suite("coverage==7.*", ["flaky", "hypothesis==6.*"], ["tests"], sdist=True),
    "matplotlib": Suite(
        "matplotlib==3.*",
        ["pytest-timeout==2.*"],
        [
            "tests/test_axes.py",
            "tests/test_colors.py",
            "tests/test_cbook.py",
            "tests/test_ticker.py",
            "tests/test_rcparams.py",
        ],
        below="matplotlib",
    ),
    # The others change processes, threads, terminals or pytest itself.
    "fastapi": Suite(
        "fastapi==0.*",
        [
            "a2wsgi",
            "anyio[trio]==4.*",
            "dirty-equals",
            "email-validator",
            "flask",
            "httpx",
            "httpx2",
            "inline-snapshot",
            "itsdangerous",
            "jinja2",
            "orjson",
            "pwdlib[argon2]",
            "pydantic-extra-types",
            "pydantic-settings",
            "pyjwt",
            "python-multipart",
            "pyyaml",
            "sqlmodel",
            "strawberry-graphql<1",
            "ujson",
            "opentelemetry-sdk",
            "pytest-timeout==2.*",
            "pytest-xdist==3.*",  # for its mark
            "typer==0.*",
        ],
        ["tests", "--override-ini=addopts="],
        sdist=True,
    ),
    "celery": Suite(
        "celery==5.*",
        [
            "pytest-celery",
            "pytest-rerunfailures==16.*",
            "pytest-timeout==2.*",
            "pytest-click",
            "pytest-order",
            "freezegun",
            "pyyaml",
            "msgpack",
            "pydantic==2.*",
            "sqlalchemy==2.*",
            "redis",
            "gevent",
            "cryptography",
        ],
        [
            "t/unit",
            *(
                f"--ignore=t/unit/backends/test_{part}.py"
                for part in ("azureblockblob", "dynamodb", "gcs", "mongodb", "s3")
            ),
        ],
        sdist=True,
    ),
    "execnet": Suite("execnet==2.*", ["pytest-timeout==2.*", "gevent"], ["testing"], sdist=True),
    # Each of its tests with a socket has a server on the same port.
    "pexpect": Suite(
        "pexpect==4.*",
        [],
        ["tests", *(f"--ignore=tests/test_{part}.py" for part in ("socket", "socket_fd", "socket_pexpect"))],
        sdist=True,
    ),
    "prompt-toolkit": Suite("prompt-toolkit==3.*", ["pyperclip"], ["tests"], sdist=True),
    "watchdog": Suite("watchdog==7.*", ["flaky", "pytest-timeout==2.*", "pyyaml"], ["tests"], sdist=True),
    "pytest-asyncio": Suite("pytest-asyncio==1.*", ["hypothesis==6.*"], ["tests"], sdist=True),
    "pytest-mock": Suite("pytest-mock==3.*", ["pytest-asyncio==1.*"], ["tests"], sdist=True),
    "pytest-timeout": Suite("pytest-timeout==2.*", ["pexpect==4.*"], ["test_pytest_timeout.py"], sdist=True),
    "pytest-rerunfailures": Suite("pytest-rerunfailures==16.*", [], ["tests"], sdist=True),
    "blessed": Suite("blessed==1.*", ["pytest-xdist==3.*"], ["tests", "--override-ini=addopts="], sdist=True),
    "pyfakefs": Suite(
        "pyfakefs==6.*",
        ["pandas==3.*"],
        ["pyfakefs/tests", "--override-ini=python_files=*_test.py"],
        sdist=True,
    ),
    "freezegun": Suite("freezegun==1.*", ["python-dateutil==2.*"], ["tests"], sdist=True),
    "sh": Suite("sh==2.*", [], ["tests/sh_test.py"], sdist=True),
    "tqdm": Suite(
        "tqdm==4.*",
        ["numpy==2.*", "pandas==3.*", "rich", "pytest-timeout==2.*", "pytest-asyncio==1.*"],
        ["tests", "--override-ini=addopts=", "--ignore=tests/tests_perf.py"],
        sdist=True,
    ),
    "pytest-subprocess": Suite(
        "pytest-subprocess==1.*",
        ["pytest-asyncio==1.*", "pytest-rerunfailures==16.*", "anyio==4.*", "docutils"],
        ["tests"],
        sdist=True,
    ),
}
