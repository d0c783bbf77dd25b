"""The commands of docs/upgrading.md that take no installation do what it says."""

from contextlib import closing

import psycopg
import pytest
from documents import block, inline
from jobs import add_job, add_schedule, job

UPGRADE = "ALTER EXTENSION pgagent UPDATE"


def test_an_updated_catalogue_deletes_old_runs_when_it_is_told_to(conn_42):
    old = add_job(conn_42, due=None)
    conn_42.execute(UPGRADE)
    kept = "(jobkeepfor::text, jobkeepruns)::text"
    assert job(conn_42, old, kept) == "(,)"

    conn_42.execute(block("docs/upgrading.md", "UPDATE pgagent.pga_job SET jobkeepfor"))

    new = add_job(conn_42, due=None)
    assert job(conn_42, old, kept) == job(conn_42, new, kept) == '("30 days",10000)'


def test_the_zone_of_all_schedules_is_changed_at_once(conn_42):
    old = add_schedule(conn_42, add_job(conn_42, due=None))
    conn_42.execute(UPGRADE)

    conn_42.execute(block("docs/upgrading.md", "UPDATE pgagent.pga_schedule SET"))

    new = add_schedule(conn_42, add_job(conn_42, due=None))
    zones = (
        "SELECT DISTINCT jsctimezone FROM pgagent.pga_schedule WHERE jscid = ANY (%s)"
    )
    assert conn_42.execute(zones, [[old, new]]).fetchall() == [("Europe/Berlin",)]


def test_a_trigger_goes_on_with_the_remedy_that_the_warning_names(conn_42):
    conn_42.execute(
        "CREATE TABLE public.mails (run integer);"
        "CREATE FUNCTION public.mail_on_failure() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN INSERT INTO mails VALUES (NEW.jlgid); RETURN NULL; END';"
        "CREATE TRIGGER mail AFTER INSERT ON pgagent.pga_joblog"
        " FOR EACH ROW EXECUTE FUNCTION public.mail_on_failure()"
    )
    job_id = add_job(conn_42, due=None)
    told = []
    conn_42.add_notice_handler(lambda d: told.append(d.message_detail))
    remedy = block("docs/upgrading.md", "ALTER FUNCTION public.mail_on_failure")
    conn_42.execute(UPGRADE)
    assert remedy.strip() in told[0]

    log = "INSERT INTO pgagent.pga_joblog (jlgjobid) VALUES (%s)"
    conn_42.execute("SET search_path = pg_catalog, pg_temp")
    with pytest.raises(psycopg.errors.UndefinedTable):
        conn_42.execute(log, [job_id])
    conn_42.execute(remedy)
    conn_42.execute(log, [job_id])
    assert conn_42.execute("SELECT count(*) FROM public.mails").fetchone() == (1,)


def test_an_update_gives_up_after_the_time_that_it_is_given(conn_42, dsn_42):
    with closing(psycopg.connect(dsn_42)) as reader:
        reader.execute("TABLE pgagent.pga_job")
        conn_42.execute(inline("docs/upgrading.md", "SET lock_timeout"))
        assert conn_42.execute("SHOW lock_timeout").fetchone() == ("3s",)
        conn_42.execute("SET lock_timeout = '100ms'")  # a test has no time
        with pytest.raises(psycopg.errors.LockNotAvailable):
            conn_42.execute(UPGRADE)
    conn_42.execute(UPGRADE)
