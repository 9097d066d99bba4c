"""The contract with plugins and conftests that know xdist, row by row, and the tests that hold us to it.

Each row has a test that runs three ways: plain pytest, two workers of the real xdist, and dagz.  Where one
test cannot, several do between them.  Plugins that need a display, a browser, a database server of their own
or a compiler have no row here; pytest-forked itself fails under pytest 9.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

HERE = Path(__file__).parent
THREE = {"plain", "xdist", "dagz"}

XDIST, NODES, FORK, WORKERS = "contract_xdist", "contract_nodes", "contract_fork", "contract_workers"

ROWS: dict[str, list[tuple[str, str]]] = {
    # what xdist offers to others
    "environment: id, count, run id": [
        (XDIST, "the_environment_names_worker_count_and_run_in_each_test"),
        (XDIST, "count_and_run_id_are_set_before_a_conftest_is_imported"),
    ],
    "fixtures worker_id and testrun_uid": [
        (XDIST, "fixtures_worker_id_and_testrun_uid"),
        (XDIST, "the_recipe_for_once_per_run_with_a_lock"),
    ],
    "<basetemp>/popen-gwN": [
        (XDIST, "basetemp_of_a_worker_is_below_a_shared_one"),
        (XDIST, "basetemp_given_on_the_command_line"),
    ],
    "workerinput and workeroutput": [
        (XDIST, "workerinput_and_workeroutput"),
        (FORK, "what_a_conftest_puts_out_in_each_worker_is_there_when_it_is_down"),
    ],
    "hooks about nodes": [
        (NODES, "each_hook_of_a_worker_is_called_in_its_order"),
        (XDIST, "what_plugins_touch_on_a_node"),
        (XDIST, "hook_specifications_of_xdist_are_accepted_under_strict_plugins"),
    ],
    "functions of the module, names of plugins, options": [
        (XDIST, "functions_of_the_xdist_module"),
        (XDIST, "names_of_plugins_that_others_ask_for"),
        (XDIST, "a_test_that_asks_for_xdist_hears_whether_it_is_installed"),
        (NODES, "options_say_whether_tests_are_shared_and_never_so_in_a_worker"),
    ],
    "attributes of reports": [
        (XDIST, "reports_carry_worker_id_and_node"),
        (NODES, "reports_carry_the_id_of_the_run"),
    ],
    "one process reports, and is no worker": [
        (XDIST, "the_reporting_process_has_no_workerinput"),
        (XDIST, "the_reporting_session_has_no_items"),
        ("contract_own", "a_reporting_hook_of_a_conftest_sees_each_report_once"),
    ],
    "-n, --dist, xdist_group": [(XDIST, "the_marker_xdist_group_is_known_and_honoured")],
    "workers need not collect the same": [
        ("contract_exit", "differing_and_unordered_parameters_are_no_error")
    ],
    "session hooks, once per worker": [
        (WORKERS, "session_hooks_of_a_conftest_run_once_per_worker_and_in_the_controller"),
        (FORK, "a_plugin_of_the_project_is_started_once_for_each_worker"),
    ],
    # what a fork may break
    "the id, read before the fork": [(WORKERS, "an_id_read_before_the_fork_is_right_in_all_workers")],
    "threads, loops, connections, sockets of an import; the resource tracker": [
        (FORK, "what_a_module_makes_at_import_serves_tests")
    ],
    "random numbers": [(XDIST, "seeds_differ_between_workers_only_where_nobody_seeds")],
    "descriptors of capture and faulthandler": [
        ("contract_capture", "output_of_descriptors_c_code_and_children"),
        ("contract_capture", "faulthandler_and_logging_of_threads"),
    ],
    "atexit": [(WORKERS, "exit_handlers_and_buffers_of_the_parent_do_not_run_twice")],
    "file handlers of logging": [(WORKERS, "the_logging_recipe_of_the_xdist_documentation")],
    "the tracer of coverage": [("plugins_data", "cov_with_branches_contexts_and_a_limit")],
    "SIGALRM": [("plugins", "timeout")],
    "the database of hypothesis": [("plugins", "hypothesis_database_is_shared_and_used_again")],
    # plugins
    "pytest-cov": [("plugins_data", "cov_reports_the_same_lines")],
    "pytest-django": [("plugins_data", "django_has_a_database_per_worker")],
    "pytest-randomly, pytest-random-order": [
        ("plugins", "randomly_uses_one_seed_and_resets_it_for_each_test"),
        ("plugins_more", "random_order_has_one_seed_for_all"),
    ],
    "pytest-rerunfailures": [("plugins", "reruns_are_counted_as_in_plain_pytest")],
    "pytest-timeout": [("plugins", "timeout")],
    "pytest-asyncio, anyio, pytest-aiohttp": [
        ("plugins", "asyncio"),
        ("plugins", "anyio"),
        ("plugins_more", "servers_of_httpserver_flask_and_aiohttp"),
    ],
    "hypothesis": [("plugins", "hypothesis")],
    "pytest-benchmark": [("plugins", "benchmark_is_there_and_off_in_workers")],
    "pytest-sugar, -instafail, -html, -json-report, -bdd, allure": [
        ("plugins", "sugar"),
        ("plugins", "html_has_one_row_per_test"),
        ("plugins", "bdd"),
        ("plugins_more", "instafail_tells_a_failure_before_the_end"),
        ("plugins_more", "json_report_has_every_test_once"),
        ("plugins_more", "allure_has_every_test_once"),
    ],
    "pytest-xprocess, -httpserver, -flask": [
        ("plugins_more", "xprocess_starts_one_server_for_all"),
        ("plugins_more", "servers_of_httpserver_flask_and_aiohttp"),
    ],
    "pytest-mock, pytest-subtests": [("plugins", "mock"), ("plugins", "subtests_plugin")],
}


def ways_of(function: ast.FunctionDef, tree: ast.Module) -> set[str]:
    """In which ways that test runs, as its marks in the source say."""
    known = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }

    def words(node: ast.expr) -> set[str]:
        if isinstance(node, ast.Name) and node.id in known:
            return words(known[node.id])
        found = {n.value for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        for name in ast.walk(node):
            if isinstance(name, ast.Name) and name.id in known:
                found |= words(known[name.id])
        return found

    marks = [d for d in function.decorator_list if "ways" in ast.unparse(d) or ast.unparse(d) in known]
    if not marks:
        return THREE
    return {word for mark in marks for word in words(mark) if word in THREE}


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_contract_has_tests_that_run_three_ways(row):
    assert ROWS[row]
    for file, name in ROWS[row]:
        tree = ast.parse((HERE / f"test_{file}.py").read_text())
        (function,) = [
            n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in (f"test_{name}", name)
        ]
        assert ways_of(function, tree) == THREE, f"{file}: {name}"


def test_every_test_of_what_xdist_offers_that_runs_three_ways_has_a_row():
    named = {pair for tests in ROWS.values() for pair in tests}
    for file in (XDIST, NODES):
        tree = ast.parse((HERE / f"test_{file}.py").read_text())
        for node in tree.body:
            if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test_"):
                continue
            asks = "way" in [argument.arg for argument in node.args.args]
            assert not asks or ways_of(node, tree) != THREE or (file, node.name[5:]) in named, node.name
