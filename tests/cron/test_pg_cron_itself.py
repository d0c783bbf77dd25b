"""pg_cron itself as the judge: its functions and tables, and the schedules that it reads."""

import random
import re
from contextlib import closing

import psycopg
import pytest
from cluster import Cluster

from .expressions import MONTHS, WEEKDAYS, expression

pytestmark = pytest.mark.needs("pg_cron")


@pytest.fixture(scope="module")
def both():
    """A session on a server that has both extensions; pg_cron's launcher finds no job."""
    settings = {"shared_preload_libraries": "pg_cron", "cron.database_name": "postgres"}
    with (
        Cluster(settings) as cluster,
        closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as conn,
    ):
        conn.execute("CREATE EXTENSION pg_cron; CREATE EXTENSION pgagent")
        conn.execute(ACCEPTED)
        yield conn


# Whether each of them would be a job's schedule: none is.
ACCEPTED = """
CREATE FUNCTION public.accepts(p_call text, p_schedule text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE p_call USING p_schedule;
    RAISE EXCEPTION 'taken' USING ERRCODE = 'PGA99';
EXCEPTION
    WHEN SQLSTATE 'PGA99' THEN RETURN true;
    WHEN invalid_parameter_value THEN RETURN false;
END $$"""
CALLS = (
    "SELECT cron.schedule($1, 'SELECT 1')",
    "SELECT FROM pgagent.pga_schedule_parse($1)",
)

FUNCTIONS = """
SELECT p.proname::text, pg_get_function_identity_arguments(p.oid), pg_get_function_arguments(p.oid),
       pg_get_function_result(p.oid)
FROM pg_proc AS p WHERE p.pronamespace = %s::regnamespace
"""
COLUMNS = """
SELECT a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_attribute AS a
WHERE a.attrelid = %s::regclass AND a.attnum > 0 AND NOT a.attisdropped
"""


def test_each_of_its_functions_is_declared_alike(both):
    theirs, ours = (
        {row[:2]: row[2:] for row in both.execute(FUNCTIONS, [schema])}
        for schema in ("cron", "pgagent")
    )
    # 1.3 alone has the name of a job as a name.
    theirs.pop(("schedule", "job_name name, schedule text, command text"), None)
    assert len(theirs) >= 4
    assert {name: ours.get(name) for name in theirs} == theirs


@pytest.mark.parametrize("table", ["job", "job_run_details"])
def test_each_column_of_its_tables_is_there(both, table):
    theirs, ours = (
        dict(both.execute(COLUMNS, [f"{schema}.{table}"]))
        for schema in ("cron", "pgagent")
    )
    if theirs.get("jobname") == "name":  # until 1.5
        theirs["jobname"] = "text"
    assert {name: ours.get(name) for name in theirs} == theirs


# What follows a value that it could read it passes over, up to the next blank, and so the
# rest of the line. Of a range that runs backwards it makes no values, or others.
ITEM = r"(?:\*|[0-9a-z]+(?:-[0-9a-z]+)?)(?:/[0-9]+)?"
LINE = re.compile(rf"\s*(?:{ITEM}(?:,{ITEM})*\s*){{5}}", re.IGNORECASE)


def backwards(text: str) -> bool:
    """Whether a range runs backwards."""
    names = {name: str(i) for i, name in enumerate(WEEKDAYS)}
    names |= {name: str(i) for i, name in enumerate(MONTHS, 1)}
    ranges = re.findall(r"([0-9a-z]+)-([0-9a-z]+)", text.lower())
    return any(int(names.get(a, a)) > int(names.get(b, b)) for a, b in ranges)


def texts(seed: int, count: int):
    """Make up schedules; in every second one something was changed."""
    dice = random.Random(seed)
    for number in range(count):
        text = expression(dice, everyday=dice.random() < 0.5)
        if number % 2:
            place = dice.randrange(len(text))
            piece = dice.choice(
                ["", *"0159*/-, ", "/60", "/0", "00", "*/90", "x", "sun", "?"]
            )
            text = text[:place] + piece + text[place + dice.randrange(2) :]
        yield text


# Until 1.4 it reads them, as cron does; of 1.6 some versions do not.
LONG_STEPS = [
    *("*/60 * * * *", "0 */24 * * *", "0-59/100 * * * *", "0 0 * * */100"),
    *("*/90 */48 */40 */13 */8", "5-10/99999 * * * *"),
]
SPECIAL = [
    *("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually"),
    *(
        "@reboot",
        "@restart",
        "0 0 */31 * *",
        "0 0 * */12 *",
    ),
    *("*/59 * * * *", "0 0 * * */7", "007 0010 * * *", "  1 2 3 4 5"),
    *("*/1 * * * *", "1\t2\t3\t4\t5", "1 2 3 4 5\n", "*,5 * * * *"),
    *(
        "0 0 1-31 * mon",
        "0 0 * * 0-7",
        "0 0 * * 7",
        "0 0 * * Sun-Sat",
        "0 0 * jan-DEC/2 *",
    ),
]


def test_what_it_reads_is_read_here(both):
    asked = [*SPECIAL, *LONG_STEPS, *texts(seed=20310331, count=4000)]
    rows = both.execute(
        "SELECT t, public.accepts(%s, t), public.accepts(%s, t)"
        " FROM unnest(%s::text[]) WITH ORDINALITY AS u (t, n) ORDER BY n",
        [*CALLS, asked],
    ).fetchall()

    taken = [text for text, theirs, _ in rows if theirs]
    refused = [text for text, theirs, ours in rows if theirs and not ours]
    assert {*SPECIAL} <= {*taken}
    assert {text for text, _, ours in rows if ours} >= {*SPECIAL, *LONG_STEPS}
    assert len(taken) > 2000
    assert [
        text
        for text in refused
        if LINE.fullmatch(text) and len(text.split()) == 5 and not backwards(text)
    ] == []
    assert len(refused) < 400
