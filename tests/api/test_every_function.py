"""Every function for people: done, of nothing, twice, with NULL, of another type, without the right.

Of each the table says what happens in the first three cases and who may not; the others
are tried with each argument of each of its signatures.
"""

from collections import defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from support import database
from transitions import claim_rows, register

SIGNATURES = r"""
    SELECT p.proname::text, p.oid::regprocedure::text,
           p.proargnames[:p.pronargs], p.pronargs - p.pronargdefaults,
           ARRAY(SELECT format_type(t.type, NULL) FROM unnest(p.proargtypes) WITH ORDINALITY AS t (type, place)
                 ORDER BY t.place)
    FROM pg_proc AS p
    WHERE p.pronamespace = 'pgagent'::regnamespace AND p.proname NOT LIKE 'pga\_%'
          AND p.proname <> 'pgagent_schema_version' AND p.prorettype <> 'trigger'::regtype
    ORDER BY 1, 2
"""


FILE = """{"format": 1, "jobs": [{"name": "new", "class": "Spare",
    "steps": [{"name": "1", "command": "SELECT 1"}], "schedules": [{"schedule": "@daily"}]}]}"""


@dataclass(frozen=True)
class Row:
    """What a function does: a call that works, one of what is not there, the second time."""

    ok: str
    missing: str | None = None
    missing_state: str = "42704"
    twice_state: str | None = None
    # Who may not: a role of that level, before isolate(). None: everybody may.
    refused_to: str | None = "operator"


TABLE = {
    "create_job": Row(
        "create_job('new', class => 'Spare', timeout => '1 h')",
        "create_job('new', class => 'none')",
        twice_state="42710",
    ),
    "rename_job": Row(
        "rename_job('etl', 'renamed')", "rename_job('none', 'x')", twice_state="42704"
    ),
    "copy_job": Row(
        "copy_job('etl', 'copy')", "copy_job('none', 'copy')", twice_state="42710"
    ),
    "alter_job": Row("alter_job('etl', description => 'x')", "alter_job('none')"),
    "drop_job": Row("drop_job('etl')", "drop_job('none')", twice_state="42704"),
    "add_step": Row(
        "add_step('etl', '3 new', 'SELECT 3')",
        "add_step('none', '3 new', 'SELECT 3')",
        twice_state="42710",
    ),
    "alter_step": Row(
        "alter_step('etl', '1 load', 'SELECT 7', retries => 3)",
        "alter_step('etl', 'none', 'SELECT 7')",
    ),
    "rename_step": Row(
        "rename_step('etl', '1 load', '0 load')",
        "rename_step('etl', 'none', 'x')",
        twice_state="42704",
    ),
    "drop_step": Row(
        "drop_step('etl', '1 load')", "drop_step('etl', 'none')", twice_state="42704"
    ),
    "add_schedule": Row(
        "add_schedule('etl', '0 3 13 * fri', name => 'new')",
        "add_schedule('none', '@daily')",
        twice_state="42710",
    ),
    "alter_schedule": Row(
        "alter_schedule('etl', '@daily', '@hourly', enabled => false)",
        "alter_schedule('etl', 'none', '@hourly')",
    ),
    "rename_schedule": Row(
        "rename_schedule('etl', '@daily', 'x')",
        "rename_schedule('etl', 'none', 'x')",
        twice_state="42704",
    ),
    "drop_schedule": Row(
        "drop_schedule('etl', '@daily')",
        "drop_schedule('etl', 'none')",
        twice_state="42704",
    ),
    "add_exception": Row(
        "add_exception('etl', '2041-05-01')",
        "add_exception('etl', '2041-05-01', schedule => 'none')",
        twice_state="42710",
    ),
    "alter_exception": Row(
        "alter_exception('etl', '2040-01-01', new_time => '12:00')",
        "alter_exception('etl', '2047-01-01', new_time => '12:00')",
        twice_state="42704",
    ),
    "drop_exception": Row(
        "drop_exception('etl', '2040-01-01')",
        "drop_exception('etl', '2047-01-01')",
        twice_state="42704",
    ),
    "create_class": Row(
        "create_class('New', 2)", twice_state="42710", refused_to="editor"
    ),
    "alter_class": Row(
        "alter_class('Spare', 2)", "alter_class('none', 2)", refused_to="editor"
    ),
    "rename_class": Row(
        "rename_class('Spare', 'Other')",
        "rename_class('none', 'x')",
        twice_state="42704",
        refused_to="editor",
    ),
    "drop_class": Row(
        "drop_class('Spare')",
        "drop_class('none')",
        twice_state="42704",
        refused_to="editor",
    ),
    "run_job": Row("run_job('etl')", "run_job('none')", refused_to="reader"),
    "cancel_run": Row("cancel_run('run')", "cancel_run('none')", refused_to="reader"),
    "pause_job": Row(
        "pause_job('etl', until => now() + interval '1 hour', reason => 'x')",
        "pause_job('none')",
        refused_to="reader",
    ),
    "pause_all": Row(
        "pause_all(until => now() + interval '1 hour', reason => 'x')",
        "pause_all(until => '-infinity')",
        "22023",
        refused_to="reader",
    ),
    "unpause_job": Row(
        "unpause_job('etl')", "unpause_job('none')", refused_to="reader"
    ),
    "unpause_all": Row("unpause_all()", refused_to="reader"),
    "silence": Row(
        "silence('etl', until => now() + interval '1 hour', reason => 'x')",
        "silence('none')",
        refused_to="reader",
    ),
    "silence_all": Row(
        "silence_all(until => now() + interval '1 hour', reason => 'x')",
        "silence_all(until => '-infinity')",
        "22023",
        refused_to="reader",
    ),
    "unsilence": Row("unsilence('etl')", "unsilence('none')", refused_to="reader"),
    "unsilence_all": Row("unsilence_all()", refused_to="reader"),
    "add_alert": Row(
        "add_alert('new', 'mail', job => 'etl')",
        "add_alert('new', 'mail', job => 'none')",
        twice_state="42710",
    ),
    "alter_alert": Row(
        "alter_alert('alert', events => '{late}')", "alter_alert('none')"
    ),
    "drop_alert": Row("drop_alert('alert')", "drop_alert('none')", twice_state="42704"),
    "test_alert": Row("test_alert('alert')", "test_alert('none')"),
    "next_runs": Row("next_runs('etl')", "next_runs('none')", refused_to="none"),
    "explain_job": Row("explain_job('etl')", "explain_job('none')", refused_to="none"),
    "revert_job": Row("revert_job('etl', now())", "revert_job('none', now())"),
    "delete_log": Row(
        "delete_log('run', keep_runs => 1)", "delete_log('none')", refused_to="editor"
    ),
    # It reads connection strings, which operators may not.
    "export_jobs": Row("export_jobs('{etl}')", "export_jobs('{etl,none}')"),
    "apply_jobs": Row(
        f"apply_jobs('{FILE}')", f"apply_jobs('{FILE.replace('Spare', 'none')}')"
    ),
    "schedule": Row(
        "schedule('new', '@daily', 'SELECT 1')",
        "schedule('new', '@daily', 'SELECT 1', timezone => 'Mars')",
        "22023",
    ),
    "schedule_in_database": Row(
        "schedule_in_database('new', '@daily', 'SELECT 1', 'postgres')",
        "schedule_in_database('new', '@daily', 'SELECT 1', 'postgres', 'none')",
    ),
    "unschedule": Row("unschedule('etl')", "unschedule('none')", twice_state="42704"),
    "arm": Row("arm()"),
    "grant_access": Row(
        "grant_access('reader', 'pga_none')", "grant_access('reader', 'none')"
    ),
    "revoke_access": Row(
        "revoke_access('editor', 'pga_editor')", "revoke_access('editor', 'none')"
    ),
    "allow_run_as": Row(
        "allow_run_as('pga_none', by => 'login')", "allow_run_as('nobody_at_all')"
    ),
    "disallow_run_as": Row(
        "disallow_run_as('pga_reader')",
        "disallow_run_as('nobody_at_all')",
        twice_state="42704",
    ),
    "isolate": Row("isolate()"),
    "pgagent_version": Row("pgagent_version()", refused_to="none"),
}

ROLES = ("none", "reader", "operator", "editor")

# A value for an argument of each name; for some functions another one.
VALUES = {
    "job": "'etl'",
    "job_name": "'etl'",
    "step_name": "'1 load'",
    "schedule_name": "'@daily'",
    "class": "'Spare'",
    "new_name": "'brand new'",
    "name": "'brand new'",
    "command": "'SELECT 1'",
    "schedule": "'0 4 * * *'",
    "database": "'postgres'",
    "on_date": "'2040-01-01'",
    "at_time": "NULL",
    "new_date": "'2040-01-02'",
    "new_time": "NULL",
    "level": "'reader'",
    "to_role": "'pga_none'",
    "from_role": "'pga_reader'",
    "role": "'pga_reader'",
    "as_of": "now()",
    "run_id": "1",
    "alert": "'alert'",
    "channel": "'mail'",
    "definition": f"'{FILE}'",
}
OTHER_VALUES = {
    "add_exception": {"on_date": "'2043-01-01'"},
    "next_runs": {"schedule": "NULL"},
    "cancel_run": {"job_name": "'run'"},
}


@pytest.fixture(scope="module")
def roles(maker):
    """Have a role of each level, once for all: they are the server's."""
    for role in ROLES:
        maker.execute(f"CREATE ROLE pga_{role} LOGIN")
    yield
    for role in ROLES:
        maker.execute(f"DROP ROLE pga_{role}")


@contextmanager
def stocked(conn):
    """Have a job with parts, one of which a run is under way, two of one name, and roles."""
    register(conn)
    conn.execute("""
        SELECT pgagent.create_class('Spare');
        SELECT pgagent.create_job('run'), pgagent.add_step('run', '1', 'SELECT 1'), pgagent.run_job('run');
    """)
    claim_rows(conn)
    conn.execute("""
        SELECT pgagent.create_job('etl'), pgagent.add_step('etl', '1 load', 'SELECT 1'),
               pgagent.add_step('etl', '2 report', 'true', kind => 'batch'),
               pgagent.add_schedule('etl', '@daily'), pgagent.add_schedule('etl', '0 9 13 * fri', 'either'),
               pgagent.add_exception('etl', '2040-01-01'), pgagent.add_alert('alert', 'mail');
        INSERT INTO pgagent.pga_job (jobjclid, jobname) VALUES (1, 'two'), (1, 'two');
    """)
    for role in ROLES:
        if role != "none":
            conn.execute("SELECT pgagent.grant_access(%s, %s)", [role, f"pga_{role}"])
    conn.execute("SELECT pgagent.allow_run_as('pga_reader', by => 'login')")
    yield conn
    for role in ROLES:
        conn.execute(f"DROP OWNED BY pga_{role}")


@pytest.fixture
def shop(conn, roles):
    """Be able to change all of it, and keep that."""
    with stocked(conn):
        yield conn


@pytest.fixture(scope="module")
def standing(cluster, maker, template, roles):
    """Have it for all tests that take back what they do, or show that nothing was done."""
    with (
        database(maker, "standing", template) as name,
        closing(psycopg.connect(cluster.conninfo(name), autocommit=True)) as conn,
        stocked(conn),
    ):
        before = everything(conn)
        yield conn
        assert everything(conn) == before


def attempt(session, call):
    """Make a call and take it back; return the error, if it is refused."""
    try:
        with session.transaction(force_rollback=True):
            session.execute(f"SELECT * FROM pgagent.{call}")
    except psycopg.Error as e:
        return e
    return None


def state(error):
    return error and error.sqlstate


def is_ours(error):
    return str(error.diag.message_primary).startswith("pgagent: ") and bool(
        error.diag.message_detail
    )


def signatures(conn):
    found = defaultdict(list)
    for name, *signature in conn.execute(SIGNATURES):
        found[name].append(signature)
    return found


def values(conn, function, names, types):
    """Return a value for each argument, with its type."""
    ids = dict(
        conn.execute("""
            SELECT 'job_id', jobid::text FROM pgagent.pga_job WHERE jobname = 'etl'
            UNION ALL SELECT 'step_id', jstid::text FROM pgagent.pga_jobstep WHERE jstname = '1 load'
            UNION ALL SELECT 'schedule_id', jscid::text FROM pgagent.pga_schedule WHERE jscname = '@daily'
        """)
    )
    known = VALUES | ids | OTHER_VALUES.get(function, {})
    return {
        name: f"{known[name]}::{type_}"
        for name, type_ in zip(names, types, strict=True)
        if name in known
    }


def with_each_argument(conn, function, instead):
    """Yield a call of each signature for each of its arguments, with that one instead."""
    for signature, names, required, types in signatures(conn)[function]:
        given = values(conn, function, names or [], types)
        for name, type_ in zip(names or [], types, strict=True):
            wanted = {name: given[name] for name in names[:required]}
            if "job" in given and name not in ("schedule", "timezone"):
                wanted["job"] = "'etl'::text"
            wanted[name] = instead(type_)
            arguments = ", ".join(f'"{n}" => {v}' for n, v in wanted.items())
            yield signature, name, f"{function}({arguments})"


def test_every_function_is_in_the_table(conn):
    assert set(signatures(conn)) ^ set(TABLE) == set()


@pytest.mark.parametrize("function", TABLE)
def test_it_does_what_it_is_asked_to(standing, function):
    row = TABLE[function]

    assert state(attempt(standing, row.ok)) is None
    if row.missing:
        error = attempt(standing, row.missing)
        assert (state(error), is_ours(error)) == (row.missing_state, True), error
    with standing.transaction(force_rollback=True):
        standing.execute(f"SELECT * FROM pgagent.{row.ok}")
        error = attempt(standing, row.ok)
        assert state(error) == row.twice_state, error
        assert error is None or is_ours(error)


@pytest.mark.parametrize("function", TABLE)
def test_null_is_understood_or_refused_in_words(standing, function):
    odd = [
        (call, error.sqlstate, str(error))
        for _, _, call in with_each_argument(standing, function, "NULL::{}".format)
        if (error := attempt(standing, call)) and not is_ours(error)
    ]
    assert odd == []


@pytest.mark.parametrize("function", TABLE)
def test_a_value_of_another_type_finds_no_function(standing, function):
    wrong = [
        (call, state(error))
        for *_, call in with_each_argument(
            standing, function, lambda _: "point '(1,1)'"
        )
        if state(error := attempt(standing, call)) != "42883"
    ]
    assert wrong == []


@pytest.mark.parametrize("function", TABLE)
def test_it_is_refused_to_who_has_no_right(cluster, standing, function):
    row = TABLE[function]
    user = f"pga_{row.refused_to}"
    dsn = cluster.conninfo(standing.info.dbname)
    with closing(psycopg.connect(dsn, autocommit=True, user=user)) as session:
        error = attempt(session, row.ok)
    assert state(error) == "42501", error


# What can be replayed: it writes what it says, and after that nothing more.
WRITING = [
    "create_job('new', on_conflict => 'nothing')",
    "create_job('new', timeout => '90 s', keep_runs => 0, on_conflict => 'replace')",
    "create_job('etl', 'again', 'Spare', 'here', false, '1 h', 'queue', 'all', '2 h', '3 days', 7, on_conflict => 'replace')",
    "add_step('etl', '3 new', 'SELECT 3', on_conflict => 'nothing')",
    "add_step('etl', '1 load', 'SELECT 3', on_conflict => 'replace')",
    "add_step('etl', '1 load', 'true', kind => 'batch', on_conflict => 'replace')",
    "add_step('etl', '2 report', 'SELECT 3', conninfo => 'host=h', retries => 2, retry_on => '{any}', on_conflict => 'replace')",
    "add_schedule('etl', '@hourly', on_conflict => 'nothing')",
    "add_schedule('etl', '@hourly', on_conflict => 'replace')",
    "add_schedule('etl', '@hourly', name => '@daily', on_conflict => 'replace')",
    "add_schedule('etl', '0 9 13 * fri', name => '@daily', on_conflict => 'replace')",
    "add_schedule('etl', '0 9 14 * mon', name => 'either', on_conflict => 'replace')",
    "add_schedule('etl', '@every 90 seconds', name => 'either', on_conflict => 'replace')",
    "add_schedule('etl', '@every 7 days', name => 'x', end_at => '2051-01-01', on_conflict => 'replace')",
    "add_schedule('etl', '@at 2050-01-01 09:00', name => 'either', enabled => false, on_conflict => 'replace')",
    "add_schedule('etl', '@reboot', name => '@daily', on_conflict => 'replace')",
    "add_exception('etl', '2040-02-01', '09:00:30', on_conflict => 'replace')",
    "create_class('Spare', 2, on_conflict => 'replace')",
    "create_class('New', 2, on_conflict => 'replace')",
    "alter_step('etl', '1 load', 'SELECT 7', database => 'postgres', run_as => '', timeout => '1 h')",
    "alter_step('etl', '1 load', kind => 'batch')",
    "alter_step('etl', '2 report', kind => 'sql', mode => 'autocommit')",
    "alter_schedule('etl', 'either', enabled => false)",
    "alter_schedule('etl', 'either', '@every 2 hours', start_at => '2020-01-01')",
    "alter_schedule('etl', '@daily', '0 9 14 * mon', timezone => 'Asia/Tokyo')",
    "alter_schedule('etl', '@daily', '@at 2050-01-01 09:00', end_at => 'infinity')",
    "alter_class('Spare', 3)",
    "schedule('new', '@daily', 'SELECT 1')",
    "schedule('new', '@daily', 'SELECT 1', timezone => 'Asia/Tokyo', active => false)",
    "schedule_in_database('new', '@daily', 'SELECT 1', 'postgres', active => false)",
    f"apply_jobs('{FILE}')",
    "pause_job('etl', '2999-01-01', 'x')",
    "pause_all('2999-01-01', 'x')",
    "silence('etl', '2999-01-01', 'x')",
    "silence_all('2999-01-01', 'x')",
    "add_alert('new', 'mail', '{late}', 'etl', on_conflict => 'replace')",
    "alter_alert('alert', 'notify', job => 'etl', repeat_every => '1 h')",
    "drop_alert('alert', if_exists => true)",
    "drop_job('etl', if_exists => true)",
    "drop_step('etl', '1 load', if_exists => true)",
    "drop_schedule('etl', 'either', if_exists => true)",
    "drop_exception('etl', '2040-01-01', if_exists => true)",
    "drop_class('Spare', if_exists => true)",
]
# What is there already, or is not there, stays so.
LEAVING = [
    "create_job('etl', on_conflict => 'nothing')",
    "create_job('etl', on_conflict => 'REPLACE')",
    "add_step('etl', '1 load', 'SELECT 3', on_conflict => 'nothing')",
    "add_schedule('etl', '@hourly', name => '@daily', on_conflict => 'nothing')",
    "add_exception('etl', '2040-01-01', on_conflict => 'nothing')",
    "create_class('Spare', 2, on_conflict => 'nothing')",
    "apply_jobs(pgagent.export_jobs())",
    f"apply_jobs('{FILE}', dry_run => true)",
    "unpause_job('etl')",
    "unpause_all()",
    "unsilence('etl')",
    "unsilence_all()",
    "add_alert('alert', 'hook', on_conflict => 'nothing')",
    "add_alert('alert', 'mail', on_conflict => 'replace')",
    "alter_alert('alert', name => 'alert', channel => 'mail', enabled => true)",
    "drop_alert('none', if_exists => true)",
    "unschedule(NULL::text)",
    "rename_job('etl', 'etl')",
    "rename_step('etl', '1 load', '1 load')",
    "rename_schedule('etl', 'either', 'either')",
    "rename_class('Spare', 'Spare')",
    "drop_job(4711, if_exists => true)",
    "drop_step('none', '1 load', if_exists => true)",
    "drop_schedule('none', 'either', if_exists => true)",
    "drop_exception('etl', '2040-01-01', schedule => 'none', if_exists => true)",
    "drop_exception('none', '2040-01-01', if_exists => true)",
]


def everything(conn):
    return conn.execute("""
        SELECT 'job', jobid, xmin::text, to_jsonb(t) FROM pgagent.pga_job AS t
        UNION ALL SELECT 'step', jstid, xmin::text, to_jsonb(t) FROM pgagent.pga_jobstep AS t
        UNION ALL SELECT 'schedule', jscid, xmin::text, to_jsonb(t) FROM pgagent.pga_schedule AS t
        UNION ALL SELECT 'exception', jexid, xmin::text, to_jsonb(t) FROM pgagent.pga_exception AS t
        UNION ALL SELECT 'class', jclid, xmin::text, to_jsonb(t) FROM pgagent.pga_jobclass AS t
        UNION ALL SELECT 'pause', jpsjobid, xmin::text, to_jsonb(t) FROM pgagent.pga_jobpause AS t
        UNION ALL SELECT 'silence', jsijobid, xmin::text, to_jsonb(t) FROM pgagent.pga_jobsilence AS t
        UNION ALL SELECT 'alert', altjobid, xmin::text, to_jsonb(t) FROM pgagent.pga_alert AS t
        UNION ALL SELECT 'change', jchid, xmin::text, NULL FROM pgagent.pga_jobchange AS t
        ORDER BY 1, 2
    """).fetchall()


@pytest.mark.parametrize("call", WRITING)
def test_a_definition_that_is_replayed_writes_nothing_more(shop, call):
    before = everything(shop)
    shop.execute(f"SELECT pgagent.{call}")
    after = everything(shop)
    assert after != before

    for _ in range(2):
        shop.execute(f"SELECT pgagent.{call}")
        assert everything(shop) == after


@pytest.mark.parametrize("call", LEAVING)
def test_what_is_so_already_is_left_alone(standing, call):
    before = everything(standing)
    for _ in range(3):
        standing.execute(f"SELECT pgagent.{call}")
        assert everything(standing) == before
