"""One version everywhere, sound metadata, and an extension that goes as it came."""

import json
import re
import tomllib
from importlib.metadata import metadata

import psycopg
import pytest
from support import ROOT

from .members import members

META = json.loads((ROOT / "META.json").read_text())
PROJECT = tomllib.loads((ROOT / "python/pyproject.toml").read_text())["project"]
REQUIRED = {
    *("name", "version", "abstract", "maintainer", "license", "provides", "meta-spec"),
}
OPTIONAL = {
    *("description", "generated_by", "no_index", "prereqs", "release_status"),
    *("resources", "tags"),
}
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[a-z][a-z0-9]*)?")


def found(pattern, path):
    """Return what the group in the pattern of a line first matches in a file."""
    return re.findall(pattern, path.read_text(), re.MULTILINE)[0]


def test_there_is_one_version(conn):
    controls = ROOT.glob("extension/*.control")
    installed = "SELECT extversion FROM pg_extension WHERE extname = 'pgagent'"
    assert {
        *(found(r"^default_version = '(.*)'$", control) for control in controls),
        *(extension["version"] for extension in META["provides"].values()),
        found(r"^## \[(\d.*?)\]", ROOT / "CHANGELOG.md"),
        PROJECT["version"],
        *conn.execute(installed).fetchone(),
    } == {META["version"]}


def test_the_metadata_have_the_fields_that_pgxn_requires():
    assert {field for field in REQUIRED if META.get(field)} == REQUIRED
    assert {*META} <= REQUIRED | OPTIONAL
    assert META["meta-spec"]["version"] == "1.0.0"
    assert META["license"] == "postgresql"
    assert META["release_status"] in {"stable", "testing", "unstable"}
    assert all(re.fullmatch(r"[^\s/\\]{2,}", name) for name in META["provides"])


def test_the_metadata_name_versions_and_files_that_exist():
    controls = ROOT.glob("extension/*.control")
    assert {*META["provides"]} == {control.stem for control in controls}
    for extension in META["provides"].values():
        assert {"file", "version"} <= {*extension}
        assert SEMVER.fullmatch(extension["version"])
        assert (ROOT / extension["file"]).is_file()
        assert (ROOT / extension.get("docfile", "README.md")).is_file()
    for phase in META["prereqs"].values():
        for versions in phase.values():
            assert all(v == 0 or SEMVER.fullmatch(v) for v in versions.values())


def test_the_runners_package_says_what_an_index_shows():
    shown = metadata("pgagent-runner")
    assert shown["Author"] == META["maintainer"]
    assert shown["License-Expression"] == "PostgreSQL"
    assert shown.get_all("License-File") == ["LICENSE"]
    assert {*META["tags"]} <= {*shown["Keywords"].split(",")}
    assert shown["Description-Content-Type"] == "text/markdown"
    assert "pgagent run" in shown["Description"]


def test_the_runners_package_names_the_versions_of_python_it_is_for():
    named = [
        classifier.rpartition(" ")[2]
        for classifier in PROJECT["classifiers"]
        if re.match(r"Programming Language :: Python :: 3\.", classifier)
    ]
    assert PROJECT["requires-python"] == f">={named[0]}"
    first = int(named[0].removeprefix("3."))
    assert named == [f"3.{n}" for n in range(first, first + len(named))]


def test_the_runners_package_has_the_licence():
    licence = (ROOT / "LICENSE").read_bytes()
    assert (ROOT / "python/LICENSE").read_bytes() == licence


def test_nothing_but_the_schema_is_left_when_the_extension_goes(conn):
    before = members(conn)
    conn.execute("DROP EXTENSION pgagent")
    left = """
        SELECT pg_describe_object(classid, objid, objsubid) FROM pg_depend
        WHERE refclassid = 'pg_namespace'::regclass AND refobjid = 'pgagent'::regnamespace"""
    assert conn.execute(left).fetchall() == []

    conn.execute("CREATE EXTENSION pgagent")

    assert members(conn) == before


def test_the_schema_of_a_stranger_is_refused(alice, new_database):
    ours = new_database("ours")
    ours.execute("CREATE SCHEMA pgagent AUTHORIZATION alice")
    with pytest.raises(
        psycopg.errors.InsufficientPrivilege, match="another role: alice"
    ):
        ours.execute("CREATE EXTENSION pgagent")


@pytest.mark.parametrize("owner", ["postgres", "alice"])
def test_the_schema_of_the_databases_owner_is_taken(alice, new_database, owner):
    ours = new_database("ours", owner)
    ours.execute("CREATE SCHEMA pgagent")
    ours.execute("CREATE EXTENSION pgagent")
