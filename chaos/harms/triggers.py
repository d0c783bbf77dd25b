"""Triggers, rules, constraints and policies that users hang on the tables."""

from typing import Any

from chaos.harms.cell import FAILS, QUICK, Cell, Harm, Step, add

MAIL = "SMTP server not reachable"
FAIL = f"RAISE EXCEPTION '{MAIL}'"
SLOW = "PERFORM pg_sleep(30)"
LONG_SLEEP = 30.0
UNKNOWN_TO_42 = "pgAgent 4.2 has no such table or column"
NOISY: Step = ("s", "SELECT chaos.effect({job}, 0.01); SELECT repeat('x', 5000)")

# Whose row it is, in the trigger's function.
OWN = {
    "pga_joblog": "NEW.jlgjobid = {culprit}",
    "pga_jobsteplog": "EXISTS (SELECT FROM pgagent.pga_jobstep AS t"
    " WHERE t.jstid = NEW.jsljstid AND t.jstjobid = {culprit})",
    "pga_job": "NEW.jobid = {culprit}",
    "pga_jobagent": "true",
    "pga_jobsession": "true",
    "pga_jobskip": "NEW.jskjobid = {culprit}",
    "pga_schedule": "NEW.jscjobid = {culprit}",
}


def hang(
    table: str, when: str, action: str, condition: str = "true", declare: str = ""
) -> "Hanging":
    """Return what hangs a trigger on a table: `when` is such as "AFTER UPDATE"."""
    return Hanging(table, when, action, condition, declare)


class Hanging:
    """Hangs a trigger on a table; it acts on the culprit's rows, until switched off."""

    def __init__(
        self, table: str, when: str, action: str, condition: str, declare: str
    ) -> None:
        """Take down what it does."""
        self._table, self._when, self._action = table, when, action
        self._condition, self._declare = condition, declare

    def __call__(self, cell: Cell) -> None:
        """Hang it there."""
        own = OWN[self._table]
        kind = "TRIGGER"
        rest = ""
        if self._when.startswith("DEFERRED"):
            kind = "CONSTRAINT TRIGGER"
            rest = "DEFERRABLE INITIALLY DEFERRED"
        when = self._when.replace("DEFERRED", "AFTER")
        cell.sql(f"""
            CREATE FUNCTION public.alert() RETURNS trigger LANGUAGE plpgsql AS $harm$
            DECLARE v_done text; {self._declare}
            BEGIN
                IF (SELECT s.is_on FROM chaos.switch AS s) AND {own}
                   AND ({self._condition}) THEN
                    {self._action};
                END IF;
                RETURN NEW;
            END $harm$""")
        cell.sql(
            f"CREATE {kind} alert {when} ON pgagent.{self._table} {rest}"
            " FOR EACH ROW EXECUTE FUNCTION public.alert()"
        )


def ends(column: str) -> str:
    """Return the condition that a row is closed."""
    return f"OLD.{column} = 'r' AND NEW.{column} <> 'r'"


STEP_ENDS, RUN_ENDS = ends("jslstatus"), ends("jlgstatus")
CLAIMED = "OLD.jobagentid IS NULL AND NEW.jobagentid IS NOT NULL"
FREED = "OLD.jobagentid IS NOT NULL AND NEW.jobagentid IS NULL"

TRIGGERS: tuple[tuple[str, Hanging, str, dict[str, Any]], ...] = (
    # --- a record that is refused
    ("fails-step", hang("pga_jobsteplog", "AFTER UPDATE", FAIL, STEP_ENDS), MAIL, {"steps": (FAILS,)}),
    ("fails-step-failed", hang("pga_jobsteplog", "AFTER UPDATE", FAIL, "NEW.jslstatus = 'f'"), MAIL, {"steps": (FAILS,)}),
    ("fails-run", hang("pga_joblog", "AFTER UPDATE", FAIL, RUN_ENDS), MAIL, {}),
    ("fails-second-step", hang("pga_jobsteplog", "BEFORE INSERT", FAIL,
        "(SELECT t.jstname FROM pgagent.pga_jobstep AS t WHERE t.jstid = NEW.jsljstid) = 'step 2'"),
     MAIL, {"steps": (QUICK, QUICK)}),
    ("fails-free", hang("pga_job", "BEFORE UPDATE", FAIL, FREED), MAIL, {}),
    ("fails-next-run", hang("pga_job", "BEFORE UPDATE", FAIL, "NEW.jobnextrun IS DISTINCT FROM OLD.jobnextrun AND OLD.jobagentid IS NOT NULL"), MAIL, {}),
    ("fails-skip", hang("pga_jobskip", "BEFORE INSERT", FAIL), MAIL,
     {"steps": (("s", "SELECT chaos.effect({job}, 2.5)"),), "every": 1.0, "without_42": UNKNOWN_TO_42}),
    ("fails-deferred", hang("pga_jobsteplog", "DEFERRED UPDATE", FAIL, STEP_ENDS), MAIL, {}),
    ("fails-deferred-run", hang("pga_joblog", "DEFERRED UPDATE", FAIL, RUN_ENDS), MAIL, {}),
    ("fails-serialization", hang("pga_jobsteplog", "AFTER UPDATE",
        f"RAISE EXCEPTION '{MAIL}' USING ERRCODE = '40001'", STEP_ENDS), MAIL, {}),
    ("fails-cancelled", hang("pga_joblog", "AFTER UPDATE",
        f"RAISE EXCEPTION '{MAIL}' USING ERRCODE = '57014'", RUN_ENDS), MAIL, {}),
    ("fails-lock-timeout", hang("pga_jobsteplog", "AFTER UPDATE",
        f"RAISE EXCEPTION '{MAIL}' USING ERRCODE = '55P03'", STEP_ENDS), MAIL, {}),
    ("kills-session", hang("pga_jobsteplog", "AFTER UPDATE",
        "PERFORM pg_terminate_backend(pg_backend_pid())", STEP_ENDS), "terminat|connection|gone|session", {}),
    # --- names that it does not qualify
    ("unqualified-table", hang("pga_joblog", "AFTER UPDATE",
        "INSERT INTO audit VALUES (NEW.jlgid)", RUN_ENDS), "search_path", {}),
    ("unqualified-function", hang("pga_jobsteplog", "AFTER UPDATE",
        "v_done := send_mail('x')", STEP_ENDS), "search_path", {}),
    ("unqualified-type", hang("pga_jobsteplog", "BEFORE UPDATE",
        "v_done := NULL::mood", STEP_ENDS), "search_path", {}),
    ("unqualified-on-claim", hang("pga_joblog", "AFTER INSERT",
        "INSERT INTO audit VALUES (NEW.jlgid)"), "search_path", {}),
    # --- a claim that is refused
    ("refuses-run", hang("pga_joblog", "BEFORE INSERT", FAIL), MAIL, {}),
    ("refuses-step", hang("pga_jobsteplog", "AFTER INSERT", FAIL), MAIL, {}),
    ("refuses-claim", hang("pga_job", "BEFORE UPDATE", FAIL, CLAIMED), MAIL, {}),
    ("refuses-deferred", hang("pga_joblog", "DEFERRED INSERT", FAIL), MAIL, {}),
    # --- slow
    ("slow-step", hang("pga_jobsteplog", "AFTER UPDATE", SLOW, STEP_ENDS), "", {"lasts": LONG_SLEEP, "every": None}),
    ("slow-run", hang("pga_joblog", "BEFORE UPDATE", SLOW, RUN_ENDS), "", {"lasts": LONG_SLEEP, "every": None}),
    ("slow-free", hang("pga_job", "AFTER UPDATE", SLOW, FREED), "", {"lasts": LONG_SLEEP, "every": None}),
    ("slow-claim", hang("pga_job", "BEFORE UPDATE", SLOW, CLAIMED), "", {"lasts": LONG_SLEEP, "every": None}),
    ("slow-open", hang("pga_joblog", "AFTER INSERT", SLOW), "", {"lasts": LONG_SLEEP, "every": None}),
    ("slow-deferred", hang("pga_joblog", "DEFERRED UPDATE", SLOW, RUN_ENDS), "", {"lasts": LONG_SLEEP, "every": None}),
    ("slow-every-run", hang("pga_jobsteplog", "AFTER UPDATE", "PERFORM pg_sleep(3)", STEP_ENDS), "", {"lasts": 20, "every": 1.0}),
    # --- on the tables of agents
    ("fails-heartbeat", hang("pga_jobagent", "BEFORE UPDATE", FAIL), "", {"lasts": LONG_SLEEP, "runners": 2}),
    ("slow-heartbeat", hang("pga_jobagent", "BEFORE UPDATE", SLOW), "", {"lasts": LONG_SLEEP, "runners": 2}),
    ("null-heartbeat", hang("pga_jobagent", "BEFORE UPDATE", "RETURN NULL"), "", {"lasts": LONG_SLEEP, "runners": 2}),
    ("fails-session", hang("pga_jobsession", "BEFORE INSERT", FAIL), "", {"lasts": 15, "without_42": UNKNOWN_TO_42}),
    ("slow-session", hang("pga_jobsession", "BEFORE INSERT", "PERFORM pg_sleep(5)"), "", {"lasts": 15, "delays": False, "without_42": UNKNOWN_TO_42}),
    # --- that return nothing
    ("null-step", hang("pga_jobsteplog", "BEFORE UPDATE", "RETURN NULL", STEP_ENDS), "", {}),
    ("null-run", hang("pga_joblog", "BEFORE UPDATE", "RETURN NULL", RUN_ENDS), "", {}),
    ("null-insert-run", hang("pga_joblog", "BEFORE INSERT", "RETURN NULL"), "", {}),
    ("null-insert-step", hang("pga_jobsteplog", "BEFORE INSERT", "RETURN NULL"), "", {}),
    ("null-claim", hang("pga_job", "BEFORE UPDATE", "RETURN NULL", CLAIMED), "", {}),
    ("null-free", hang("pga_job", "BEFORE UPDATE", "RETURN NULL", FREED), "", {}),
)  # fmt: skip
for name, hanging, says, options in TRIGGERS:
    add(Harm(name, "triggers", hanging, says, **options))


def once(cell: Cell) -> None:
    """Have the schedule that is to be disabled after its only run refuse that."""
    Hanging("pga_schedule", "BEFORE UPDATE", FAIL, "NOT NEW.jscenabled", "")(cell)
    cell.sql(
        "INSERT INTO pgagent.pga_schedule (jscjobid, jscname, jscat)"
        " VALUES ({culprit}, 'once', now() + interval '1 s')"
    )


add(
    Harm("fails-schedule", "triggers", once, MAIL, every=None, without_42=UNKNOWN_TO_42)
)


def statements(*codes: str) -> "Statements":
    """Return what executes these statements."""
    return Statements(codes)


class Statements:
    """Executes statements in the cell."""

    def __init__(self, codes: tuple[str, ...]) -> None:
        """Take them down."""
        self._codes = codes

    def __call__(self, cell: Cell) -> None:
        """Execute them."""
        for code in self._codes:
            cell.sql(code)


OF_CULPRIT = (
    "jsljstid IN (SELECT jstid FROM pgagent.pga_jobstep WHERE jstjobid = {culprit})"
)

CONSTRAINTS: tuple[tuple[str, str, str, dict[str, Any]], ...] = (
    ("rule-update-run",
     "CREATE RULE alarm AS ON UPDATE TO pgagent.pga_joblog WHERE OLD.jlgjobid = {culprit} DO INSTEAD NOTHING",
     "DROP RULE alarm ON pgagent.pga_joblog", {}),
    ("rule-update-step",
     ("CREATE RULE alarm AS ON UPDATE TO pgagent.pga_jobsteplog WHERE EXISTS (SELECT FROM pgagent.pga_jobstep"
     " WHERE jstid = OLD.jsljstid AND jstjobid = {culprit}) DO INSTEAD NOTHING"),
     "DROP RULE alarm ON pgagent.pga_jobsteplog", {}),
    ("rule-insert-step",
     ("CREATE RULE alarm AS ON INSERT TO pgagent.pga_jobsteplog WHERE EXISTS (SELECT FROM pgagent.pga_jobstep"
     " WHERE jstid = NEW.jsljstid AND jstjobid = {culprit}) DO INSTEAD NOTHING"),
     "DROP RULE alarm ON pgagent.pga_jobsteplog", {}),
    ("rule-update-job",
     "CREATE RULE alarm AS ON UPDATE TO pgagent.pga_job WHERE OLD.jobid = {culprit} DO INSTEAD NOTHING",
     "DROP RULE alarm ON pgagent.pga_job", {"running": True, "steps": (("s", "SELECT pg_sleep(3)"),)}),
    ("check-output", "ALTER TABLE pgagent.pga_jobsteplog ADD CONSTRAINT alarm CHECK (length(jsloutput) < 1000)",
     "ALTER TABLE pgagent.pga_jobsteplog DROP CONSTRAINT alarm",
     {"steps": (("s", "SELECT chaos.effect({job}, 0.01); DO $$ BEGIN RAISE NOTICE '%', repeat('x', 5000); END $$"),),
      "says": "alarm"}),
    ("check-status",
     "ALTER TABLE pgagent.pga_joblog ADD CONSTRAINT alarm CHECK (jlgstatus <> 'f' OR jlgjobid <> {culprit})",
     "ALTER TABLE pgagent.pga_joblog DROP CONSTRAINT alarm", {"steps": (FAILS,), "says": "alarm"}),
    ("check-running",
     "ALTER TABLE pgagent.pga_joblog ADD CONSTRAINT alarm CHECK (jlgstatus <> 'r' OR jlgjobid <> {culprit}) NOT VALID",
     "ALTER TABLE pgagent.pga_joblog DROP CONSTRAINT alarm", {"says": "alarm"}),
    ("unique-index", "CREATE UNIQUE INDEX alarm ON pgagent.pga_joblog (jlgjobid) WHERE jlgstatus = 'f'",
     "DROP INDEX pgagent.alarm", {"steps": (FAILS,), "says": "alarm"}),
    ("foreign-key",
     ("CREATE TABLE public.code (n integer PRIMARY KEY); INSERT INTO public.code SELECT generate_series(-1, 10);"
     " ALTER TABLE pgagent.pga_jobsteplog ADD CONSTRAINT alarm FOREIGN KEY (jslresult) REFERENCES public.code (n)"),
     "ALTER TABLE pgagent.pga_jobsteplog DROP CONSTRAINT alarm",
     {"steps": (("b", "exit 42"),), "says": "alarm"}),
)  # fmt: skip
for name, code, undo, options in CONSTRAINTS:
    add(Harm(name, "constraints", statements(code), undo=statements(undo), **options))


POLICIES = """
CREATE ROLE "harm_{database}" LOGIN;
GRANT USAGE ON SCHEMA pgagent, chaos TO "harm_{database}";
GRANT ALL ON ALL TABLES IN SCHEMA pgagent, chaos TO "harm_{database}";
GRANT ALL ON ALL SEQUENCES IN SCHEMA pgagent, chaos TO "harm_{database}";
GRANT ALL ON ALL FUNCTIONS IN SCHEMA pgagent, chaos TO "harm_{database}";
GRANT pg_signal_backend, pg_read_all_stats TO "harm_{database}"
"""


def secure(table: str, using: str, check: str) -> "Policy":
    """Return what puts row security on a table, for the role of the runner."""
    return Policy(table, using, check)


class Policy:
    """Has the agent be a role to which row security of a table applies."""

    def __init__(self, table: str, using: str, check: str) -> None:
        """Take down the policy."""
        self._table, self._using, self._check = table, using, check

    def __call__(self, cell: Cell) -> None:
        """Make the role and the policy."""
        for code in POLICIES.split(";"):
            cell.sql(code.replace("{database}", cell.conn.info.dbname))
        cell.sql(f"ALTER TABLE pgagent.{self._table} ENABLE ROW LEVEL SECURITY")
        cell.sql(
            f"CREATE POLICY alarm ON pgagent.{self._table}"
            f" USING ({self._using}) WITH CHECK ({self._check})"
        )


SECURED = "ALTER TABLE pgagent.{0} DISABLE ROW LEVEL SECURITY"
# What its policy hides from the runner, the runner can't close: that is left to people.
BY_HAND = "UPDATE pgagent.pga_jobsteplog SET jslstatus = 'd' WHERE jslstatus = 'r'"
OTHER_STEPS = (
    "jsljstid NOT IN (SELECT jstid FROM pgagent.pga_jobstep WHERE jstjobid = {culprit})"
)
for name, table, using, check, says in (
    ("rls-log-check", "pga_joblog", "true", "jlgjobid <> {culprit} OR jlgstatus <> 's'", "row-level security"),
    ("rls-log-hidden", "pga_joblog", "jlgjobid <> {culprit}", "true", ""),
    ("rls-steps-hidden", "pga_jobsteplog", OTHER_STEPS, "true", ""),
    ("rls-job", "pga_job", "true", "jobid <> {culprit} OR jobagentid IS NULL", "row-level security"),
):  # fmt: skip
    lifted = [SECURED.format(table)] + [BY_HAND] * (table == "pga_jobsteplog")
    add(
        Harm(
            name,
            "constraints",
            secure(table, using, check),
            says,
            early=True,
            login="harm",
            undo=statements(*lifted),
        )
    )
