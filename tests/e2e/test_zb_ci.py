"""zb ci env: what the environment of a CI job says."""

from __future__ import annotations

import json

import pytest

GITLAB = {
    "GITLAB_CI": "true",
    "CI_PIPELINE_ID": "1234",
    "CI_JOB_NAME": "unit tests 2/5",
    "CI_NODE_INDEX": "2",
    "CI_NODE_TOTAL": "5",
    "CI_JOB_ID": "9987",
}


def test_a_slot_is_shown_with_the_variables_that_said_so(place):
    shown = place.zb("ci", "env", **GITLAB)
    assert shown.returncode == 0
    rows = [line.split(None, 1) for line in shown.stdout.splitlines()[1:]]
    assert [row[0] for row in rows] == ["pipeline", "step", "slot", "job", "key"]
    assert rows[1][1].split() == ["unit", "tests", "CI_JOB_NAME", "without", '"2/5"']
    assert rows[2][1].split() == ["2", "of", "5", "CI_NODE_INDEX"]
    assert rows[4][1] == "gitlab/1234/unit tests"


def test_without_ci_it_says_how_to_join(place):
    shown = place.zb("ci", "env")
    assert shown.returncode == 0
    assert "joins nobody" in shown.stdout and "--dagz-job=KEY" in shown.stdout


def test_a_given_key_goes_before_the_ci(place):
    document = json.loads(place.zb("ci", "env", "--job=nightly", "--json", **GITLAB).stdout)
    assert document["key"] == "given/nightly"
    assert (document["pipeline"], document["slot"], document["total"]) == (None, 1, 5)


def test_a_variable_that_makes_no_sense_is_one_clear_line(place):
    env = {**GITLAB, "CI_NODE_INDEX": "9"}
    assert place.zb("ci", "env", **env).stderr == "zb ci: CI_NODE_INDEX=9 is not one of the slots\n"
    document = json.loads(place.zb("ci", "env", "--json", **env).stdout)
    assert document["problem"] == "CI_NODE_INDEX=9 is not one of the slots"
    assert document["total"] == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["evn"], "zb ci: knows 'env', not 'evn'"),
        ([], "zb ci: what about it? 'zb ci env' shows what is detected"),
    ],
)
def test_other_words_are_refused(place, words, complaint):
    assert place.refused(2, "ci", *words).splitlines()[0] == complaint
