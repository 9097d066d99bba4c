"""The real suites: where each comes from, what it needs, how it is started."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Suite:
    """One suite.  Versions are pinned to the major, so that a run next month is still comparable."""

    package: str  # requirement of the project itself
    requires: Sequence[str] = ()  # what its tests need
    args: Sequence[str] = ()  # given to pytest
    sdist: bool = False  # tests are run from the unpacked source distribution, else from the wheel
    below: str = ""  # directory to start in: in the sdist, or in site-packages for a wheel
    pytest: str = "pytest==9.*"
    small: bool = False  # part of `make test`
    env: dict[str, str] = field(default_factory=dict)
    editable: bool = False  # the sdist itself is installed, not the wheel of its version
    timeout_s: int = 3600


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
}
