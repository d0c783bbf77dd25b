"""Jobs that pgAdmin creates are found again, and are complete."""

from .client import (
    JOB,
    JOB_NODE,
    JOB_NODES,
    SCHEDULES,
    STEP_NODES,
    STEPS,
    THE_NEW_JOB,
    create,
    send,
    send_for_row,
)


def test_a_new_job_is_found_among_others(pgadmin, neighbours):
    node = create(
        pgadmin,
        r"""
DO $$
DECLARE
    jid integer;
BEGIN
INSERT INTO pgagent.pga_job(
    jobjclid, jobname, jobdesc, jobhostagent, jobenabled
) VALUES (
    5::integer,  E'it''s $%{}[]()&*^!@""`\\/#'::text, 'on one host'::text, 'db1'::text, false
) RETURNING jobid INTO jid;
END
$$;"""
        + THE_NEW_JOB,
        JOB_NODE,
    )

    assert (
        node.items()
        >= {
            "jobname": r"""it's $%{}[]()&*^!@""`\/#""",
            "jobenabled": False,
            "jobdesc": "on one host",
        }.items()
    )
    ids = [row["jobid"] for row in send(pgadmin, JOB_NODES)]
    assert ids == [neighbours[0], node["jobid"], neighbours[1]]
    properties = send_for_row(pgadmin, JOB.format(node["jobid"]))
    assert properties["jobclass"] == "Miscellaneous"
    assert properties["jobhostagent"] == "db1"
    assert properties["jobcreated"] == properties["jobchanged"]
    assert properties["jobnextrun"] is None
    assert send(pgadmin, STEPS.format(node["jobid"])) == []
    assert send(pgadmin, SCHEDULES.format(node["jobid"])) == []


def test_a_new_job_with_steps_of_all_kinds_is_found(pgadmin):
    node = create(
        pgadmin,
        """
DO $$
DECLARE
    jid integer;
BEGIN
INSERT INTO pgagent.pga_job(
    jobjclid, jobname, jobdesc, jobhostagent, jobenabled
) VALUES (
    1::integer, 'nightly'::text, ''::text, ''::text, true
) RETURNING jobid INTO jid;

INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind,
    jstconnstr, jstdbname, jstonerror,
    jstcode, jstdesc
) VALUES (
    jid, '1 local'::text, true, 's'::character(1),
    ''::text, 'postgres'::name, 'f'::character(1),
    'SELECT 1;'::text, 'here'::text
) ;
INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind,
    jstconnstr, jstdbname, jstonerror,
    jstcode, jstdesc
) VALUES (
    jid, '2 remote'::text, false, 's'::character(1),
    'host=db2 dbname=sales'::text, ''::name, 's'::character(1),
    'SELECT 2;'::text, ''::text
) ;
INSERT INTO pgagent.pga_jobstep (
    jstjobid, jstname, jstenabled, jstkind,
    jstconnstr, jstdbname, jstonerror,
    jstcode, jstdesc
) VALUES (
    jid, '3 batch'::text, true, 'b'::character(1),
    ''::text, ''::name, 'i'::character(1),
    'exit 0'::text, ''::text
) ;
END
$$;"""
        + THE_NEW_JOB,
        JOB_NODE,
    )

    assert node["jobname"] == "nightly"
    rows = send(pgadmin, STEPS.format(node["jobid"]))
    assert [tuple(row.values())[2:-1] for row in rows] == [
        ("1 local", "here", True, True, "SELECT 1;", True, "", "postgres", "f"),
        (
            "2 remote",
            "",
            False,
            True,
            "SELECT 2;",
            False,
            "host=db2 dbname=sales",
            "",
            "s",
        ),
        ("3 batch", "", True, False, "exit 0", True, "", "", "i"),
    ]
    nodes = send(pgadmin, STEP_NODES.format(node["jobid"]))
    assert [row["jstid"] for row in nodes] == [row["jstid"] for row in rows]
