"""Statements by which a step that was to be one role becomes another.

In each, @ROLE@ stands for the role as which it is to run, and @PROBE@ for a look at what
can be done now; what has none is followed by one. Whether a step has escaped is in the
notices of its probes: see `loot`.

They are after the rights of team_b, the table app.secret_b above all, after those of the
runner's login, and after those of a superuser.
"""

import re
from dataclasses import dataclass

# As whom, and what that one can do: B reads what belongs to team_b, J reads what only
# the runner may, and S is a superuser.
PROBE = """DO $probe$
DECLARE b text := '-'; j text := '-'; s text := '-';
BEGIN
    BEGIN PERFORM count(*) FROM app.secret_b; b := 'B'; EXCEPTION WHEN OTHERS THEN END;
    BEGIN PERFORM count(*) FROM app.ledger; j := 'J'; EXCEPTION WHEN OTHERS THEN END;
    BEGIN EXECUTE 'SET LOCAL session_replication_role = replica'; s := 'S';
    EXCEPTION WHEN OTHERS THEN END;
    RAISE NOTICE 'PROBE %/% %', current_user, session_user, b || j || s;
END $probe$"""
_SEEN = re.compile(r"PROBE (\S+)/(\S+) ([BJS-]{3})")


def probes(said: str) -> list[tuple[str, str, str]]:
    """Return who was seen in a text of notices, behind whom, and with what rights."""
    return _SEEN.findall(said)


def loot(said: str) -> str:
    """Return all rights that were seen, '' if there were none."""
    return "".join(sorted({c for *_, rights in probes(said) for c in rights} - {"-"}))


@dataclass(frozen=True)
class Escape:
    """A way out, and the features without which it can't be tried."""

    statements: tuple[str, ...]
    needs: tuple[str, ...] = ()

    def written_for(self, role: str, server: str) -> list[str]:
        """Return its statements, and the look that follows them."""
        words = {"@PROBE@": PROBE, "@ROLE@": role, "@SERVER@": server}
        looks = any("@PROBE@" in statement for statement in self.statements)
        statements = [*self.statements, *([] if looks else ["@PROBE@"])]
        for word, value in words.items():
            statements = [statement.replace(word, value) for statement in statements]
        return statements


def way(*statements: str, needs: tuple[str, ...] = ()) -> Escape:
    return Escape(statements, needs)


def _in_a_body(statement: str) -> str:
    """Quote a statement as a string inside of a function's body."""
    return f"$q${statement}$q$"


_RESET = "EXECUTE 'RESET ROLE';"
_LOOK = f"EXECUTE {_in_a_body('@PROBE@')};"
_TRIGGER = (
    "CREATE FUNCTION pg_temp.tf() RETURNS trigger LANGUAGE plpgsql AS $f$BEGIN"
    f" BEGIN {_RESET} EXCEPTION WHEN OTHERS THEN NULL; END; {_LOOK} RETURN NEW; END$f$"
)
_CONFIG = "set_config('role', 'none', false)"

ESCAPES = {
    # those with which the mechanism was chosen
    "RESET ROLE": way("RESET ROLE"),
    "SET ROLE NONE": way("SET ROLE NONE"),
    "RESET SESSION AUTHORIZATION": way("RESET SESSION AUTHORIZATION"),
    "SET SESSION AUTHORIZATION DEFAULT": way("SET SESSION AUTHORIZATION DEFAULT"),
    "DISCARD ALL": way("DISCARD ALL"),
    "dynamic SQL in a DO block": way("DO $$BEGIN EXECUTE 'SET ROLE NONE'; END$$"),
    "set_config": way(f"SELECT {_CONFIG}"),
    "sideways": way("SET ROLE team_b"),
    "end of the transaction": way("COMMIT", "RESET ROLE"),
    "COMMIT in a procedure": way(
        "CREATE PROCEDURE pg_temp.p() LANGUAGE plpgsql AS"
        " $$BEGIN COMMIT; EXECUTE 'RESET ROLE'; COMMIT; END$$",
        "CALL pg_temp.p()",
    ),
    "deferred constraint trigger": way(
        "BEGIN",
        "CREATE TEMP TABLE dt (x int)",
        _TRIGGER,
        "CREATE CONSTRAINT TRIGGER ct AFTER INSERT ON dt DEFERRABLE INITIALLY DEFERRED"
        " FOR EACH ROW EXECUTE FUNCTION pg_temp.tf()",
        "INSERT INTO dt VALUES (1)",
        "COMMIT",
    ),
    "cursor that outlives its transaction": way(
        "BEGIN",
        "CREATE FUNCTION pg_temp.hf() RETURNS text LANGUAGE plpgsql AS"
        f" $f$BEGIN {_RESET} {_LOOK} RETURN ''; END$f$",
        "DECLARE c CURSOR WITH HOLD FOR SELECT pg_temp.hf()",
        "COMMIT",
    ),
    "function with its owner's rights, made after a reset": way(
        "RESET ROLE",
        "CREATE OR REPLACE FUNCTION app.sd() RETURNS void LANGUAGE plpgsql"
        f" SECURITY DEFINER AS $f$BEGIN {_LOOK} END$f$",
        "SET ROLE @ROLE@",
        "SELECT app.sd()",
    ),
    "back in by dblink": way(
        "RESET ROLE",
        "SELECT public.dblink_connect('@SERVER@')",
        "DO $$ BEGIN IF (SELECT s FROM public.dblink("
        "'SELECT current_setting(''is_superuser'')') AS d (s text)) = 'on' THEN"
        " RAISE NOTICE 'PROBE dblink/dblink BJS'; END IF; END $$",
        needs=("contrib",),
    ),
    "SET SESSION AUTHORIZATION to a superuser": way(
        "SET SESSION AUTHORIZATION postgres"
    ),
    "setting of one's own login": way(
        "RESET ROLE",
        "DO $$BEGIN EXECUTE format('ALTER ROLE %I SET role = team_b', session_user); END$$",
    ),
    "GRANT of another role": way(
        "RESET ROLE", "GRANT team_b TO @ROLE@", "SET ROLE team_b"
    ),
    # and others
    "SET LOCAL ROLE": way("BEGIN", "SET LOCAL ROLE NONE", "@PROBE@", "COMMIT"),
    "SET LOCAL SESSION AUTHORIZATION": way(
        "BEGIN", "SET LOCAL SESSION AUTHORIZATION DEFAULT", "@PROBE@", "COMMIT"
    ),
    "sideways by SET SESSION AUTHORIZATION": way("SET SESSION AUTHORIZATION team_b"),
    "set_config of the session's user": way(
        "SELECT set_config('session_authorization', 'postgres', false)"
    ),
    "predefined role": way(
        "SET ROLE pg_read_server_files",
        "DO $$BEGIN IF current_user = 'pg_read_server_files' THEN"
        " RAISE NOTICE 'PROBE files/files --S'; END IF; END$$",
    ),
    "prepared statement": way(f"PREPARE p AS SELECT {_CONFIG}", "EXECUTE p"),
    "EXPLAIN ANALYZE": way(f"EXPLAIN (ANALYZE, COSTS OFF) SELECT {_CONFIG}"),
    "prepared transaction": way("BEGIN", "PREPARE TRANSACTION 'two'", "RESET ROLE"),
    "rolled back savepoint": way(
        "BEGIN",
        "SAVEPOINT s",
        "RESET ROLE",
        "SAVEPOINT t",
        "ROLLBACK TO t",
        "@PROBE@",
        "COMMIT",
    ),
    "rolled back transaction": way("ROLLBACK", "RESET ROLE"),
    "failed transaction": way(
        "BEGIN",
        "DO $$BEGIN PERFORM 1 / 0; EXCEPTION WHEN OTHERS THEN EXECUTE 'RESET ROLE'; END$$",
        "@PROBE@",
        "COMMIT",
    ),
    "cursor that resets when it is fetched from": way(
        "BEGIN",
        f"DECLARE c CURSOR FOR SELECT {_CONFIG}",
        "FETCH c",
        "@PROBE@",
        "COMMIT",
    ),
    "default of a column": way(
        f"CREATE TEMP TABLE d (x text DEFAULT {_CONFIG}, y int)",
        "INSERT INTO d (y) VALUES (1)",
    ),
    "domain's check": way(
        f"CREATE DOMAIN pg_temp.dom AS text CHECK ({_CONFIG} IS NOT NULL)",
        "SELECT 'x'::pg_temp.dom",
    ),
    "trigger of a temporary table": way(
        "CREATE TEMP TABLE tt (x int)",
        _TRIGGER,
        "CREATE TRIGGER t BEFORE INSERT ON tt FOR EACH ROW EXECUTE FUNCTION pg_temp.tf()",
        "INSERT INTO tt VALUES (1)",
    ),
    "rule of a temporary view": way(
        "CREATE TEMP VIEW tv AS SELECT 1 AS x",
        f"CREATE RULE r AS ON UPDATE TO tv DO INSTEAD SELECT {_CONFIG}",
        "UPDATE tv SET x = 2",
    ),
    "function in SQL": way(
        f"CREATE FUNCTION pg_temp.sf() RETURNS text LANGUAGE sql AS $f$SELECT {_CONFIG}$f$",
        "SELECT pg_temp.sf()",
    ),
    "function that sets the role for itself": way(
        "CREATE FUNCTION pg_temp.rf() RETURNS void LANGUAGE plpgsql SET role = team_b AS"
        f" $f$BEGIN {_LOOK} END$f$",
        "SELECT pg_temp.rf()",
    ),
    "function in PL/Python": way(
        "DO LANGUAGE plpython3u $f$plpy.execute('RESET ROLE')$f$", needs=("plpython",)
    ),
    "function in PL/Python that remembers": way(
        "DO LANGUAGE plpython3u $f$GD['reset'] = plpy.prepare('RESET ROLE')$f$",
        "DO LANGUAGE plpython3u $f$plpy.execute(GD['reset'])$f$",
        needs=("plpython",),
    ),
    "program on the server's machine": way(
        "RESET ROLE",
        "DO $$BEGIN CREATE TEMP TABLE f (line text); COPY f FROM PROGRAM 'id';"
        " RAISE NOTICE 'PROBE copy/copy --S'; END$$",
    ),
    "event trigger": way(
        "RESET ROLE",
        "DO $$BEGIN"
        " CREATE FUNCTION pg_temp.et() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';"
        " CREATE EVENT TRIGGER et ON ddl_command_end EXECUTE FUNCTION pg_temp.et();"
        " RAISE NOTICE 'PROBE trigger/trigger --S'; DROP EVENT TRIGGER et; END$$",
    ),
    "foreign server with a mapping for the runner's login": way(
        "RESET ROLE",
        "DO $$BEGIN PERFORM * FROM app.far_secret;"
        " RAISE NOTICE 'PROBE far/far B--'; END$$",
        needs=("contrib",),
    ),
    "GRANT of a table": way(
        "RESET ROLE",
        "GRANT SELECT ON app.secret_b TO @ROLE@",
        "SET ROLE @ROLE@",
        "@PROBE@",
        "RESET ROLE",
        "REVOKE SELECT ON app.secret_b FROM @ROLE@",
    ),
    "view owned by the runner's login": way(
        "RESET ROLE",
        "CREATE VIEW app.v AS SELECT * FROM app.secret_b",
        "GRANT SELECT ON app.v TO @ROLE@",
        "SET ROLE @ROLE@",
        "DO $$BEGIN PERFORM * FROM app.v; RAISE NOTICE 'PROBE view/view B--'; END$$",
        "RESET ROLE",
        "DROP VIEW app.v",
    ),
    "another role made": way(
        "RESET ROLE",
        "DO $$BEGIN CREATE ROLE pwned; DROP ROLE pwned;"
        " RAISE NOTICE 'PROBE role/role --S'; END$$",
    ),
    "setting of the server": way(
        "RESET ROLE",
        "ALTER SYSTEM SET deadlock_timeout = '987ms'",
        "SELECT pg_reload_conf()",
        "DO $$BEGIN IF pg_read_file('postgresql.auto.conf') ~ '987ms' THEN"
        " RAISE NOTICE 'PROBE system/system --S'; END IF; END$$",
    ),
    "rights that other objects will have": way(
        "RESET ROLE",
        "ALTER DEFAULT PRIVILEGES FOR ROLE team_b GRANT SELECT ON TABLES TO @ROLE@",
        "DO $$BEGIN IF EXISTS (SELECT FROM pg_default_acl) THEN"
        " RAISE NOTICE 'PROBE default/default B--'; END IF; END$$",
    ),
    "another's tables made one's own": way(
        "RESET ROLE", "REASSIGN OWNED BY team_b TO @ROLE@", "SET ROLE @ROLE@"
    ),
    "what others do in this session: a table of theirs": way(
        "CREATE TEMP TABLE bookkeeping (done text)",
        _TRIGGER,
        "CREATE TRIGGER t BEFORE INSERT ON bookkeeping FOR EACH ROW EXECUTE FUNCTION pg_temp.tf()",
        "SET search_path = pg_temp, app, public",
    ),
    "what others do in this session: an operator of theirs": way(
        "CREATE SCHEMA @ROLE@_evil",
        "CREATE FUNCTION @ROLE@_evil.same(name, name) RETURNS boolean LANGUAGE plpgsql AS"
        f" $f$BEGIN {_LOOK} RETURN true; END$f$",
        "CREATE OPERATOR @ROLE@_evil.= (LEFTARG = name, RIGHTARG = name, FUNCTION = @ROLE@_evil.same)",
        "SET search_path = @ROLE@_evil, pg_catalog",
    ),
}

# What a scheduler does as itself in the session in which a job has just been.
BOOKKEEPING = (
    "RESET ROLE",
    "INSERT INTO bookkeeping VALUES ('yes')",
    "SELECT current_user = 'nobody'::name",
)
