"""No password goes into a document, and applying one keeps those that are there."""

import pytest
from jobs import add_job

OF_THE_DOCUMENT = [
    ("host=there password=secret dbname=x", "host=there password='' dbname=x"),
    ("host=there  password = 'se cr\\'et'", "host=there password=''"),
    ("postgresql://me:secret@there/x", "postgresql://me:@there/x"),
    (
        "host=there sslpassword=secret password=other",
        "host=there sslpassword='' password=''",
    ),
    ("host=there options='-c x=password=1'", "***"),
]


@pytest.fixture
def told(conn):
    notices = []
    conn.add_notice_handler(lambda notice: notices.append(notice.message_primary))
    return notices


def make(conn, conninfo):
    add_job(conn, {"jstcode": "SELECT 1", "jstconnstr": conninfo}, name="x", jobjclid=5)


def stored(conn):
    return conn.execute("SELECT jstconnstr FROM pgagent.pga_jobstep").fetchone()[0]


@pytest.mark.parametrize(("conninfo", "exported"), OF_THE_DOCUMENT)
def test_it_is_left_out_said_and_kept(conn, export, apply, told, conninfo, exported):
    make(conn, conninfo)
    told.clear()
    document = export()
    assert told == [
        'pgagent: the password of step "step 01" of job "x" is not exported'
    ]
    (job,) = document["jobs"]
    assert job["steps"][0]["conninfo"] == exported
    assert "secret" not in str(document)
    assert apply(job) == []
    assert stored(conn) == conninfo


@pytest.mark.parametrize(
    ("conninfo", "changed", "kept"),
    [
        (
            "host=there password=secret dbname=x",
            "host=here password='' dbname=x",
            "host=here password=secret dbname=x",
        ),
        (
            "host=there password='se cr\\'et\\\\1'",
            "password='' host=here",
            "password='se cr\\'et\\\\1' host=here",
        ),
        (
            "postgresql://me:secret@there/x",
            "postgresql://me:@here/x",
            "postgresql://me:secret@here/x",
        ),
        (
            "postgresql://there/x?user=me&password=secret&sslpassword=secret%261",
            "postgresql://here/x?sslpassword=&user=me&password=",
            "postgresql://here/x?sslpassword=secret%261&user=me&password=secret",
        ),
        (
            "postgres://me:secret1@there/x?sslpassword=secret2",
            "postgres://me:@here/x?sslpassword=",
            "postgres://me:secret1@here/x?sslpassword=secret2",
        ),
        (
            "host=there options='-c x=1' password=secret",
            "host=here options='' password=''",
            "host=here options='' password=secret",
        ),
        ("host=there password=secret", "host=here", "host=here"),
        (
            "host=there password=secret",
            "host=there password=other",
            "host=there password=other",
        ),
    ],
)
def test_it_is_kept_if_something_else_changes(conn, apply, conninfo, changed, kept):
    make(conn, conninfo)
    job = {
        "name": "x",
        "steps": [{"name": "step 01", "conninfo": changed, "command": "SELECT 1"}],
    }
    ((_, object_, _, attribute, old, new),) = apply(job)
    assert (object_, attribute) == ("step step 01", "conninfo")
    assert "secret" not in old + new
    assert "other" not in (old + new).replace("(another password)", "")
    assert stored(conn) == kept
    assert apply(job) == []


def test_where_there_is_none_it_is_said(conn, apply, told):
    apply(
        {
            "name": "x",
            "steps": [
                {"name": "1", "conninfo": "host=x password=''", "command": "SELECT 1"}
            ],
        }
    )
    assert told == ['pgagent: the password of step "1" is not in the document']
