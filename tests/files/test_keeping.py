"""An export over a file that people have written leaves what they have written."""

import sys
from pathlib import Path

import pytest
from pgagent_runner.verbs import keeping, toml

WRITTEN = """\
# Jobs of the team.
#:schema ./jobs.schema.json
set = "team"      # what --prune goes by
format = 1

[[jobs]]
name = "weekly"   # not daily
enabled = true
timeout = "2 hours"

# It comes first.
[[jobs.steps]]
name = "1"
command = '''
-- as it was written
SELECT 1
'''

[[jobs.schedules]]
name = "s"
schedule = "@weekly"  # Sunday
timezone = "UTC"
exceptions = [
    { date = "2031-12-25" },  # Christmas
    { time = "9:00" },
]

[[jobs.schedules]]
schedule = "0 9 13 * fri"
timezone = "UTC"

# The nightly one.
[[jobs]]
name = "nightly"
description = "x"

[[jobs.steps]]
name = "1"
command_file = "nightly.sql"
"""


@pytest.fixture
def written(pgagent, tmp_path):
    path = tmp_path / "team.toml"
    path.write_text(WRITTEN)
    (tmp_path / "nightly.sql").write_text("SELECT 1")
    pgagent.prints("apply", "team.toml", "--yes")
    return path


def export(pgagent):
    assert pgagent.prints("export", "--output", "team.toml") == ""
    assert pgagent.prints("plan", "team.toml") == "nothing differs\n"


def test_what_differs_from_nothing_stays_to_the_byte(pgagent, written):
    export(pgagent)
    assert written.read_text() == WRITTEN


def test_what_tomlkit_would_space_anew_stays_as_well(pgagent, written):
    text = WRITTEN.replace('"2031-12-25"', "2031-12-25")
    written.write_text(text)
    export(pgagent)
    assert written.read_text() == text


def test_only_what_differs_is_changed(conn, pgagent, written):
    conn.execute("""
        SELECT pgagent.alter_job('weekly', timeout => '3 h', description => 'new');
        UPDATE pgagent.pga_schedule SET jscdesc = 'why' WHERE jscname = 's'
    """)
    export(pgagent)
    assert written.read_text() == WRITTEN.replace(
        'timeout = "2 hours"\n', 'timeout = "03:00:00"\ndescription = "new"\n'
    ).replace(
        '    { time = "9:00" },\n]\n',
        '    { time = "9:00" },\n]\ndescription = "why"\n',
    )


def test_a_value_that_is_the_default_goes(conn, pgagent, written):
    conn.execute("UPDATE pgagent.pga_job SET jobtimeout = NULL, jobdesc = ''")
    export(pgagent)
    assert written.read_text() == WRITTEN.replace('timeout = "2 hours"\n', "").replace(
        'description = "x"\n', ""
    )


def test_a_command_is_changed_where_it_stands(conn, pgagent, written):
    conn.execute("UPDATE pgagent.pga_jobstep SET jstcode = jstcode || '-- more\n'")
    export(pgagent)
    assert written.read_text() == WRITTEN.replace(
        "SELECT 1\n'''", "SELECT 1\n-- more\n'''"
    )
    assert Path(written.parent, "nightly.sql").read_text() == "SELECT 1-- more\n"


def test_exceptions_are_written_anew_if_they_are_others(conn, pgagent, written):
    conn.execute(
        "SELECT pgagent.add_exception('weekly', '2032-01-01', schedule => 's')"
    )
    export(pgagent)
    text = written.read_text()
    assert "2032-01-01" in text
    assert "# Sunday" in text
    assert "# It comes first." in text


def test_jobs_and_parts_come_and_go(conn, pgagent, written):
    conn.execute("""
        SELECT pgagent.drop_job('nightly');
        SELECT pgagent.create_job('new'), pgagent.add_step('new', '1', 'SELECT 1'),
               pgagent.add_schedule('new', '@daily'), pgagent.add_step('weekly', '2', E'SELECT 2\nFROM x');
        DELETE FROM pgagent.pga_schedule WHERE jscname = 's'
    """)
    export(pgagent)
    text = written.read_text()
    assert "# Jobs of the team." in text
    assert "# It comes first." in text
    assert [job["name"] for job in toml.loads(text)["jobs"]] == ["weekly", "new"]
    assert [step["name"] for step in toml.loads(text)["jobs"][0]["steps"]] == ["1", "2"]


def test_either_of_two_days_becomes_two_if_they_differ(conn, pgagent, written):
    conn.execute(
        "DELETE FROM pgagent.pga_schedule WHERE jscname LIKE '0 9 13%' AND jscmonthdays[13]"
    )
    export(pgagent)
    # Two schedules of one name, as pgAdmin may make them.
    conn.execute("""
        SELECT pgagent.add_schedule('weekly', '0 9 13 * *', timezone => 'UTC');
        UPDATE pgagent.pga_schedule SET jscname = '0 9 13 * fri' WHERE jscname = '0 9 13 * *'
    """)
    export(pgagent)


def test_twins_are_told_by_their_order(conn, pgagent, written):
    conn.execute("""
        INSERT INTO pgagent.pga_job (jobname, jobjclid, jobdesc) VALUES ('nightly', 1, 'twin')
    """)
    export(pgagent)
    names = [job["name"] for job in toml.loads(written.read_text())["jobs"]]
    assert names == ["weekly", "nightly", "nightly"]


def test_without_tomlkit_a_file_that_is_there_is_left_alone(pgagent, written):
    pgagent.environ = pgagent.environ | {"PYTHONPATH": str(written.parent / "without")}
    (written.parent / "without/tomlkit").mkdir(parents=True)
    (written.parent / "without/tomlkit/__init__.py").write_text(
        "raise ModuleNotFoundError('tomlkit')"
    )
    told = pgagent.refuses("export", "--output", "team.toml")
    assert "pgagent-runner[files]" in told
    assert written.read_text() == WRITTEN


def test_what_tomlkit_can_not_read_is_said():
    with pytest.raises(keeping.NotKeptError):
        keeping.updated("a = ", {}, [])
    assert "tomlkit" in sys.modules
