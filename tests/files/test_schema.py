"""The JSON schema for editors knows what the server knows, and the page says it all."""

import json

import pytest
from support import ROOT

SCHEMA = json.loads((ROOT / "docs/jobs.schema.json").read_text())
PAGE = (ROOT / "docs/files.md").read_text()

JOB = SCHEMA["properties"]["jobs"]["items"]
SCHEDULE = JOB["properties"]["schedules"]["items"]
PARTS = {
    "definition": SCHEMA,
    "class": SCHEMA["properties"]["classes"]["items"],
    "job": JOB,
    "step": JOB["properties"]["steps"]["items"],
    "schedule": SCHEDULE,
    "exception": SCHEDULE["properties"]["exceptions"]["items"],
}
# Verbs read it, the server knows nothing of it.
OF_VERBS = {"step": {"command_file"}}

# Columns of the tables that are no part of a definition.
NOT_DEFINED = {
    *(
        "jclid",
        "jobid",
        "jobcreated",
        "jobchanged",
        "jobagentid",
        "jobnextrun",
        "joblastrun",
        "jobrunid",
    ),
    *("jobfromstep", "jobdeaths", "jobownerid", "jobchangeid", "jobaskedby", "jobset"),
    *("jobfailures", "joblastsuccess", "jobsucceeded", "jobfailed", "jobaborted"),
    "jobempty",
    *(
        "jstid",
        "jstjobid",
        "jscnextrun",
        "jstrunasid",
        "jscid",
        "jscjobid",
        "jexid",
        "jexscid",
    ),
}
# Those that the text of a schedule says.
SAID = {
    "jscminutes",
    "jschours",
    "jscweekdays",
    "jscmonthdays",
    "jscmonths",
    "jscreboot",
}


@pytest.fixture
def attributes(asking):
    found: dict[str, list[list[object]]] = {}
    for part, *row in asking.execute(
        "SELECT object, attribute, kind, allowed, fallback FROM pgagent.pga_file_attributes()"
    ):
        found.setdefault(part, []).append(row)
    return found


def test_every_attribute_is_in_the_schema(attributes):
    for part, rows in attributes.items():
        known = set(PARTS[part]["properties"]) - OF_VERBS.get(part, set())
        assert known == {row[0] for row in rows}


def test_words_and_defaults_are_those_of_the_server(attributes):
    for part, rows in attributes.items():
        for attribute, kind, allowed, fallback in rows:
            stated = PARTS[part]["properties"][attribute]
            if kind in ("word", "letter"):
                assert stated["enum"] == allowed.split()
            if "default" in stated:
                assert stated["default"] == fallback
            assert stated["description"]


def test_every_attribute_is_on_the_page(attributes):
    for rows in attributes.values():
        for attribute, *_ in rows:
            assert (
                f"`{attribute}" in PAGE
                or f"[jobs.{attribute}]" in PAGE
                or f"[{attribute}]" in PAGE
            ), attribute


def test_every_column_of_a_definition_is_an_attribute(asking):
    columns = {
        name
        for (name,) in asking.execute("""
            SELECT a.attname FROM pg_attribute AS a
            WHERE a.attrelid = ANY ('{pgagent.pga_jobclass,pgagent.pga_job,pgagent.pga_jobstep,
                                      pgagent.pga_schedule,pgagent.pga_exception}'::regclass[])
                  AND a.attnum > 0 AND NOT a.attisdropped
        """)
    }
    attributes = {
        name
        for (name,) in asking.execute(
            "SELECT column_name FROM pgagent.pga_file_attributes() WHERE column_name <> ''"
        )
    }
    assert columns - attributes == NOT_DEFINED | SAID
    assert attributes - columns <= {"jcllimit"}
