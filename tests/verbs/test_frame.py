"""What all verbs have in common: which database, whose zone, errors, terminals, pipes."""

import os
import re
import signal
import subprocess
import sys
from contextlib import closing

import psycopg
import pytest
from cluster import LIBPQ
from daemon.runner_process import PGAGENT
from pgagent_runner.verbs import table
from psycopg.conninfo import make_conninfo
from support import ROOT, poll

HOSTILE = "a\x1b[31m\x9b2J\u202eb\x07"


# Which database.


@pytest.fixture
def nowhere(pgagent):
    """The command where variables of libpq name another database."""
    pgagent.environ |= {"PGDATABASE": "template1"}
    return pgagent


@pytest.fixture
def file(tmp_path, dsn):
    path = tmp_path / "pgagent.toml"
    path.write_text(f'[run]\nconninfo = "{dsn}"\n')
    return path


def test_variables_of_libpq_do_alone(conn, pgagent):
    assert pgagent.prints("list") == "There are no jobs.\n"


def test_the_database_is_named_by_itself_or_in_a_connection_string(
    conn, dsn, nowhere, cluster, tmp_path
):
    dbname = conn.info.dbname
    url = f"postgresql:///{dbname}?host={cluster.host}&port={cluster.port}"
    (tmp_path / "services").write_text(f"[here]\ndbname={dbname}\n")
    assert "has no pgagent" in nowhere.refuses("list")
    for words in (["-d", dbname], ["-d", dsn], [f"--dbname={url}"]):
        assert nowhere.prints("list", *words)
    service = {"PGSERVICEFILE": str(tmp_path / "services")}
    assert nowhere.prints("list", "-d", "service=here", **service)
    del nowhere.environ["PGDATABASE"]
    assert nowhere.prints("list", PGSERVICE="here", **service)


def test_a_file_that_is_named_beats_the_variables(conn, nowhere, file):
    assert nowhere.prints("list", "--config", file)
    assert nowhere.prints("list", PGAGENT_CONFIG=str(file))


def test_the_usual_file_counts_only_where_no_variable_says_where(
    conn, pgagent, file, tmp_path
):
    folder = tmp_path / "home/pgagent"
    folder.mkdir(parents=True)
    file.rename(folder / "pgagent.toml")
    environ = {k: v for k, v in pgagent.environ.items() if not LIBPQ.match(k)}
    pgagent.environ = environ | {"XDG_CONFIG_HOME": str(tmp_path / "home")}
    assert pgagent.prints("list")
    told = pgagent.refuses("list", PGHOST=str(tmp_path), PGDATABASE="x")
    assert 'database "x"' in told
    assert "can't connect" in told


def test_a_variable_of_ours_beats_the_file_and_the_command_line_beats_it(
    conn, dsn, pgagent, file
):
    file.write_text('[run]\nconninfo = "dbname=template1"\n')
    environ = {"PGAGENT_CONNINFO": dsn, "PGAGENT_CONFIG": str(file)}
    assert pgagent.prints("list", **environ)
    other = pgagent.refuses("list", "-d", "template1", **environ)
    assert 'database "template1"' in other


def test_a_connection_string_that_is_wrong_is_misuse(pgagent, tmp_path):
    told = pgagent.refuses("list", "-d", "hots=x", status=2)
    assert told.startswith("pgagent list: the connection string is wrong: ")
    told = pgagent.refuses("list", "--config", tmp_path / "none", status=2)
    assert told.startswith("pgagent list: ")
    assert "can't be read" in told


def test_a_password_on_the_command_line_is_warned_of(conn, dsn, pgagent):
    done = pgagent("list", "-d", make_conninfo(dsn, password="secret"))
    assert done.returncode == 0
    assert "the password on the command line can be read" in done.stderr
    assert "secret" not in done.stderr


# What the server refuses.


def test_a_server_that_is_not_there_is_one_sentence(pgagent, tmp_path):
    told = pgagent.refuses("runs", PGHOST=str(tmp_path))
    assert told.startswith("pgagent runs: can't connect to database ")
    assert "check host and port" in told


def test_a_database_without_a_catalogue_is_told_what_helps(pgagent):
    told = pgagent.refuses("list", "-d", "template1")
    assert told.startswith('pgagent list: database "template1": it has no pgagent: ')
    assert "CREATE EXTENSION pgagent" in told


def test_a_right_that_is_lacking_is_named_with_the_level_that_has_it(
    conn, dsn, pgagent, nightly
):
    conn.execute('CREATE ROLE "o\'hara" LOGIN')
    try:
        login = make_conninfo(dsn, user="o'hara")
        assert pgagent.refuses("list", "-d", login) == (
            "pgagent list: permission denied for schema pgagent; SELECT"
            " pgagent.grant_access('reader', 'o''hara') would permit it"
        )
        conn.execute("SELECT pgagent.grant_access('reader', 'o''hara')")
        for words in (
            ("list",),
            ("show", "nightly"),
            ("next", "nightly"),
            ("runs",),
            ("logs", 47),
        ):
            assert pgagent.prints(*words, "-d", login)
        assert pgagent.prints("explain", "nightly", "-d", login)
        told = pgagent.refuses("start", "nightly", "-d", login)
        assert "grant_access('operator', 'o''hara')" in told
        told = pgagent.refuses("disable", "nightly", "-d", login)
        assert "grant_access('editor', 'o''hara')" in told
        told = pgagent.refuses("delete-log", "nightly", "--yes", "-d", login)
        assert "grant_access('admin', 'o''hara')" in told
    finally:
        conn.execute('DROP OWNED BY "o\'hara"; DROP ROLE "o\'hara"')


def test_the_levels_of_the_table_suffice(conn, dsn, pgagent, nightly):
    verbs = {
        "operator": [
            *("start nightly", "cancel nightly"),
            *("silence nightly", "unsilence nightly"),
        ],
        "editor": ["disable nightly", "enable nightly", "test-alert night"],
        "admin": ["delete-log nightly --yes"],
    }
    conn.execute("SELECT pgagent.add_alert('night', 'notify')")
    for level, calls in verbs.items():
        conn.execute(f"CREATE ROLE pga_{level} LOGIN")
        try:
            conn.execute("SELECT pgagent.grant_access(%s, %s)", [level, f"pga_{level}"])
            login = make_conninfo(dsn, user=f"pga_{level}")
            for call in calls:
                verb, *words = call.split()
                done = pgagent(verb, *words, "-d", login)
                assert done.returncode == 0, done.stderr
                assert table.BY_NAME[verb].level == level
        finally:
            conn.execute(f"DROP OWNED BY pga_{level}; DROP ROLE pga_{level}")


@pytest.fixture
def locker(dsn):
    """Another session."""
    with closing(psycopg.connect(dsn, autocommit=True)) as session:
        yield session


def test_a_session_that_is_ended_meanwhile_is_one_sentence(conn, locker, pgagent):
    with locker.transaction():
        locker.execute("LOCK TABLE pgagent.pga_job IN ACCESS EXCLUSIVE MODE")
        with pgagent.on_terminal("list") as terminal:
            kill = (
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'pgagent list' AND wait_event_type = 'Lock'"
            )
            poll(lambda: conn.execute(kill).rowcount)
            assert terminal.ended() == 1
    (told,) = terminal.seen.strip().splitlines()
    assert told.startswith("pgagent list: the connection is lost: terminating ")


def test_what_is_no_text_is_one_sentence(conn, pgagent):
    told = pgagent.refuses("show", "\udce9")
    assert told == r"pgagent show: '\udce9' is not text in UTF-8"


# The session.


def test_names_that_others_have_put_in_the_way_are_not_found(conn, pgagent, nightly):
    conn.execute("""
        CREATE FUNCTION public.hijacked(text, text) RETURNS boolean LANGUAGE plpgsql
        AS $$ BEGIN RAISE 'hijacked'; END $$;
        CREATE OPERATOR public.= (LEFTARG = text, RIGHTARG = text, FUNCTION = public.hijacked);
        CREATE OPERATOR public.<> (LEFTARG = text, RIGHTARG = text, FUNCTION = public.hijacked);
        CREATE TABLE public.pga_job ();
    """)
    hostile = {"PGOPTIONS": "-c search_path=public,pg_catalog"}
    assert pgagent.prints("list", "--failed", **hostile)
    assert pgagent.prints("runs", "nightly", "--failed", **hostile)
    assert pgagent.prints("logs", "nightly", "--step", "2 report", **hostile)


@pytest.mark.parametrize(
    "options",
    [
        "-c DateStyle=SQL,DMY",
        "-c IntervalStyle=iso_8601",
        "-c bytea_output=escape",
        "-c default_transaction_isolation=serializable",
        "-c default_transaction_read_only=on",
    ],
)
def test_no_setting_of_the_reader_changes_what_is_printed(pgagent, nightly, options):
    for words in (("runs", "--json"), ("logs", "47"), ("show", "nightly", "--json")):
        assert pgagent.prints(*words, PGOPTIONS=options) == pgagent.prints(*words)


def test_no_setting_outlives_a_transaction(conn, dsn):
    """As behind a pooler, where the session is somebody else's afterwards."""
    code = f"""
from argparse import Namespace
from pgagent_runner.verbs import table
from pgagent_runner.verbs.database import connect
names = ("search_path", "DateStyle", "IntervalStyle", "bytea_output", "TimeZone")
given = Namespace(dbname={dsn!r}, config=None, verb=table.BY_NAME["list"])
with connect(given) as session:
    for _ in range(2):
        for name in names:
            print(session.execute(f"SHOW {{name}}").fetchone()[0])
        session.commit()
"""
    reader = {
        "DateStyle": "SQL, DMY",
        "IntervalStyle": "iso_8601",
        "bytea_output": "escape",
        "TimeZone": "UTC",
    }
    options = " ".join(
        f"-c {name}={value.replace(' ', '')}" for name, value in reader.items()
    )
    printed = subprocess.check_output(
        [sys.executable, "-c", code],
        env=os.environ | {"TZ": "Asia/Tokyo", "PGOPTIONS": options},
        text=True,
    ).splitlines()
    assert printed[:5] == [
        *("pg_catalog, pg_temp", "ISO, DMY", "postgres", "hex", "Asia/Tokyo")
    ]
    assert printed[5:] == ['"$user", public', *reader.values()]


@pytest.mark.parametrize(
    ("environ", "offset"),
    [
        ({"TZ": "Asia/Kolkata"}, "+05:30"),
        ({"TZ": ":America/New_York"}, "-05:00"),
        ({"TZ": "/usr/share/zoneinfo/Asia/Tokyo"}, "+09:00"),
        ({"TZ": "Asia/Tokyo", "PGTZ": "UTC"}, "+00:00"),
        ({"TZ": "Mars/Olympus", "PGOPTIONS": "-c TimeZone=Asia/Tokyo"}, "+09:00"),
    ],
)
def test_times_are_in_the_readers_zone(pgagent, nightly, environ, offset):
    assert pgagent.json("runs", **environ)[0]["started"].endswith(offset)


# What is printed.


def test_nothing_in_a_name_or_an_output_can_steer_a_terminal(conn, pgagent, nightly):
    conn.execute("UPDATE pgagent.pga_job SET jobname = %s", [HOSTILE])
    conn.execute("UPDATE pgagent.pga_jobsteplog SET jsloutput = %s", [f"{HOSTILE}\n"])
    conn.execute("UPDATE pgagent.pga_joblog SET jlgmessage = %s", [HOSTILE])
    for words in (
        *(["list"], ["list", "-x"], ["list", "--csv"], ["list", "--json"], ["next"]),
        *(["runs"], ["logs", "47"], ["logs", "47", "--json"], ["logs", "47", "-x"]),
        *(["show", HOSTILE], ["explain", HOSTILE], ["start", HOSTILE]),
        *(["start", f"{HOSTILE}?"], ["disable", HOSTILE]),
    ):
        with pgagent.on_terminal(*words) as terminal:
            terminal.ended()
        seen = re.sub(r"\x1b\[(31|32|33|36|2|0)m", "", terminal.seen)
        assert not re.search(r"[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u202e]", seen), (
            words
        )
        assert HOSTILE[0] in seen
    # Nor by way of `less`, or `head`.
    for words in (["list"], ["runs"], ["show", HOSTILE], ["list", "-x"]):
        assert "\x1b" not in pgagent.prints(*words)


def test_programs_get_names_and_outputs_as_they_are(conn, pgagent, nightly):
    conn.execute("UPDATE pgagent.pga_job SET jobname = %s", [HOSTILE])
    conn.execute("UPDATE pgagent.pga_jobsteplog SET jsloutput = %s", [f"{HOSTILE}\n"])
    assert pgagent.json("list")[0]["job"] == HOSTILE
    assert HOSTILE in pgagent.prints("list", "--csv")
    assert f"\n{HOSTILE}\n" in pgagent.prints("logs", "47")


def test_colours_are_for_terminals_of_those_who_want_them(pgagent, nightly):
    red = "\x1b[31mfailed"
    assert red not in pgagent.prints("list")
    for environ, is_coloured in (
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ):
        with pgagent.on_terminal("list", **environ) as terminal:
            assert terminal.ended() == 0
        assert (red in terminal.seen) is is_coloured


def test_a_narrow_terminal_has_lines_that_fit(conn, pgagent, nightly):
    conn.execute("UPDATE pgagent.pga_joblog SET jlgmessage = repeat('long ', 100)")
    with pgagent.on_terminal("runs", columns=90) as terminal:
        assert terminal.ended() == 0
    lines = terminal.seen.splitlines()
    assert max(map(len, lines)) <= 90 + len("\x1b[31m\x1b[0m")
    assert "…" in terminal.seen
    assert "…" not in pgagent.prints("runs")


@pytest.mark.parametrize("words", ["list", "export", "show nightly --json"])
def test_a_full_disk_is_a_sentence(pgagent, nightly, words):
    done = pgagent.by_shell(f"{words} >/dev/full")
    sentence = "can't print or read all of it: No space left on device"
    assert done.stderr == f"pgagent {words.split()[0]}: {sentence}\n"
    assert done.returncode == 1


@pytest.mark.parametrize("closed", [">&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("words", ["list", "cancel nightly"])
def test_a_stream_that_is_closed_is_no_fault(pgagent, nightly, words, closed):
    done = pgagent.by_shell(f"{words} {closed}")
    assert "Traceback" not in done.stderr
    assert done.returncode == (words != "list")


@pytest.mark.parametrize(
    "words", [("runs",), ("list", "--json"), ("logs", "47"), ("completion", "bash")]
)
def test_a_closed_pipe_is_no_error(pgagent, nightly, words):
    with subprocess.Popen(
        [PGAGENT, *words],
        env=pgagent.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.close()
        told = process.stderr.read()
    assert (process.returncode, told) == (0, "")


def test_a_locale_without_the_characters_has_them_written_out(conn, pgagent, nightly):
    conn.execute("UPDATE pgagent.pga_job SET jobname = 'nächtlich ☾'")
    environ = {"PYTHONIOENCODING": "ascii"}
    assert r"n\xe4chtlich \u263e" in pgagent.prints("list", **environ)


def test_the_bytes_of_a_database_without_an_encoding_stay_as_they_are(
    conn, cluster, pgagent
):
    conn.execute("DROP DATABASE IF EXISTS any_bytes")
    conn.execute(
        "CREATE DATABASE any_bytes TEMPLATE template0 ENCODING 'SQL_ASCII'"
        " LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    psql = [cluster.bindir / "psql", "-Xq", "-d", cluster.conninfo("any_bytes")]
    statements = b"CREATE EXTENSION pgagent; SELECT pgagent.schedule('\xe9t\xe9', '@daily', 'SELECT 1')"
    environ = cluster.client_environ() | {"PGCLIENTENCODING": "SQL_ASCII"}
    subprocess.run(
        psql, input=statements, env=environ, check=True, stdout=subprocess.DEVNULL
    )
    try:
        pgagent.environ["PGDATABASE"] = "any_bytes"
        printed = subprocess.check_output(
            [PGAGENT, "list", "--csv"], env=pgagent.environ
        )
        assert b",\xe9t\xe9," in printed
        assert r"\xe9t\xe9" in pgagent.prints("list")
        shown = subprocess.check_output(
            [PGAGENT, "show", b"\xe9t\xe9"], env=pgagent.environ
        )
        assert rb"| \xe9t\xe9" in shown
    finally:
        conn.execute("DROP DATABASE any_bytes WITH (FORCE)")


# How it is called.


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("show",), "the following arguments are required: JOB"),
        (("list", "--nonsense"), "unrecognized arguments: --nonsense"),
        (("list", "--csv", "--json"), "not allowed with argument"),
        (("runs", "-n", "0"), "'0' is not a whole number from 1 to"),
        (("list", "--fail"), "unrecognized arguments: --fail"),
        (("pause", "a", "--for", "1 h", "--until", "x"), "not allowed with argument"),
    ],
)
def test_a_command_line_that_makes_no_sense_is_misuse(pgagent, words, told):
    done = pgagent(*words)
    assert done.returncode == 2
    assert told in done.stderr
    assert done.stderr.startswith(f"usage: pgagent {words[0]} ")


@pytest.mark.parametrize("verb", [verb.name for verb in table.VERBS])
def test_each_verb_has_help(pgagent, verb):
    shown = pgagent.prints(verb, "--help")
    assert shown.startswith(f"usage: pgagent {verb}")
    for one in table.BY_NAME[verb].all_arguments:
        assert all(flag in shown or one.metavar in shown for flag in one.flags)


def test_the_list_of_verbs_is_in_the_help(pgagent):
    shown = pgagent.prints("--help")
    for verb in table.VERBS:
        assert re.search(
            f"^  {verb.name} +{re.escape(verb.summary)}$", shown, re.MULTILINE
        )


def test_what_was_meant_by_a_word_is_asked(pgagent):
    assert "did you mean list?" in pgagent.refuses("lst", status=2)


def test_ctrl_c_is_130_and_no_traceback(conn, locker, pgagent):
    with locker.transaction():
        locker.execute("LOCK TABLE pgagent.pga_job IN ACCESS EXCLUSIVE MODE")
        with pgagent.on_terminal("list") as terminal:
            waits = (
                "SELECT FROM pg_stat_activity WHERE application_name = 'pgagent list'"
                " AND wait_event_type = 'Lock'"
            )
            poll(lambda: conn.execute(waits).rowcount)
            terminal.process.send_signal(signal.SIGINT)
            assert terminal.ended() == 130
    assert "Traceback" not in terminal.seen


def test_a_verb_loads_neither_the_agent_nor_other_verbs(pgagent, conn):
    code = (
        "import sys; from pgagent_runner.cli import main; main(['list']);"
        " print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=pgagent.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stderr.split())
    assert "pgagent_runner.verbs.looking" in loaded
    others = {f"pgagent_runner.verbs.{name}" for name in ("acting", "install")}
    assert loaded.isdisjoint({"pgagent_runner.agent", "pgagent_runner.steps"} | others)


def test_every_verb_is_a_function_of_a_module_of_verbs():
    folder = ROOT / "python/src/pgagent_runner/verbs"
    for verb in table.VERBS[1:]:
        module, function = verb.function.split(".")
        assert (
            f"def {function}(given: Given) -> int:"
            in (folder / f"{module}.py").read_text()
        )
