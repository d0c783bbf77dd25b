"""What holds for every object of the extension, and for every error it raises."""

import re

import pytest
from support import ROOT

LITERAL = r"'((?:[^']|'')*)'"

FUNCTIONS = """
    SELECT p.* FROM pg_depend AS d
    JOIN pg_extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
    JOIN pg_proc AS p ON p.oid = d.objid AND d.classid = 'pg_proc'::regclass
    WHERE d.deptype = 'e' AND e.extname = 'pgagent'
"""

# Functions that only ask, that write no more than their callers may write anyway, and that
# triggers call with the rights of whoever writes a table. Not the functions of triggers themselves:
# to fire one takes no privilege.
FOR_EVERYBODY = {
    "add_alert",
    "add_exception",
    "add_schedule",
    "add_step",
    "alter_alert",
    "alter_class",
    "alter_exception",
    "alter_job",
    "alter_schedule",
    "alter_step",
    "apply_jobs",
    "arm",
    "cancel_run",
    "copy_job",
    "create_class",
    "create_job",
    "delete_log",
    "drop_alert",
    "drop_class",
    "drop_exception",
    "drop_job",
    "drop_schedule",
    "drop_step",
    "explain_job",
    "export_jobs",
    "grant_access",
    "isolate",
    "next_runs",
    "pause_all",
    "pause_job",
    "pga_access_difference",
    "pga_access_followers",
    "pga_access_grants",
    "pga_access_objects",
    "pga_access_renewal",
    "pga_access_role",
    "pga_access_rules",
    "pga_add_command",
    "pga_arming_begin",
    "pga_arming_judge",
    "pga_arming_recall",
    "pga_arming_settle",
    "pga_arming_write",
    "pga_at_parse",
    "pga_calendar_field",
    "pga_calendar_never",
    "pga_calendar_next",
    "pga_calendar_time",
    "pga_change_attributes",
    "pga_change_certain",
    "pga_change_connection",
    "pga_change_delete",
    "pga_change_drop",
    "pga_change_exception",
    "pga_change_feasible",
    "pga_change_job",
    "pga_change_job_id",
    "pga_change_now",
    "pga_change_place",
    "pga_change_record",
    "pga_change_restored",
    "pga_change_schedule",
    "pga_change_short",
    "pga_change_stand_in",
    "pga_change_step",
    "pga_change_undo",
    "pga_change_with_exceptions",
    "pga_change_word",
    "pga_change_write",
    "pga_changes_since",
    "pga_check_alert",
    "pga_check_attempts",
    "pga_check_class_limit",
    "pga_check_field",
    "pga_check_id",
    "pga_check_length",
    "pga_check_max_rows",
    "pga_check_new_name",
    "pga_check_pause",
    "pga_check_period",
    "pga_check_rules",
    "pga_check_size",
    "pga_check_span",
    "pga_check_timezone",
    "pga_class_alter",
    "pga_class_held",
    "pga_class_id",
    "pga_class_leave",
    "pga_class_lock",
    "pga_class_make",
    "pga_class_places",
    "pga_class_take",
    "pga_classes_full",
    "pga_column_default",
    "pga_connection_items",
    "pga_cron_connection",
    "pga_cron_field",
    "pga_cron_move",
    "pga_cron_own",
    "pga_cron_parse",
    "pga_cron_schedule",
    "pga_cron_text",
    "pga_cron_texts",
    "pga_cron_unnamed",
    "pga_cron_value",
    "pga_default_owner",
    "pga_default_timezone",
    "pga_enabled_given",
    "pga_events_known",
    "pga_excepting",
    "pga_exception_add",
    "pga_exception_alter",
    "pga_exception_drop",
    "pga_exception_found",
    "pga_exception_words",
    "pga_explain_agent",
    "pga_explain_aside",
    "pga_explain_claim",
    "pga_explain_class",
    "pga_explain_due",
    "pga_explain_enabled",
    "pga_explain_gates",
    "pga_explain_hosts",
    "pga_explain_last",
    "pga_explain_pauses",
    "pga_explain_roles",
    "pga_explain_rules",
    "pga_explain_run",
    "pga_explain_schedule",
    "pga_explain_wishes",
    "pga_field_image",
    "pga_file_apply_classes",
    "pga_file_apply_exceptions",
    "pga_file_apply_job",
    "pga_file_apply_part",
    "pga_file_at",
    "pga_file_attributes",
    "pga_file_cast",
    "pga_file_changes",
    "pga_file_columns",
    "pga_file_conninfo",
    "pga_file_defaults",
    "pga_file_difference",
    "pga_file_exceptions",
    "pga_file_exceptions_wanted",
    "pga_file_field",
    "pga_file_instant",
    "pga_file_job_wanted",
    "pga_file_lock",
    "pga_file_of",
    "pga_file_part",
    "pga_file_parts",
    "pga_file_raise",
    "pga_file_says",
    "pga_file_schedule",
    "pga_file_schedule_rows",
    "pga_file_schedule_text",
    "pga_file_schedule_wanted",
    "pga_file_schedules",
    "pga_file_server_default",
    "pga_file_settle",
    "pga_file_shown",
    "pga_file_step_check",
    "pga_file_step_wanted",
    "pga_file_steps",
    "pga_file_value",
    "pga_file_with_password",
    "pga_file_write",
    "pga_free_run_id",
    "pga_has_password",
    "pga_has_right",
    "pga_input_size",
    "pga_interval_next",
    "pga_interval_parse",
    "pga_is_here",
    "pga_is_leap_year",
    "pga_is_mighty",
    "pga_is_private",
    "pga_is_same_place",
    "pga_isolated_tables",
    "pga_isolated_views",
    "pga_isolation_broken",
    "pga_isolation_lock",
    "pga_isolation_relations",
    "pga_isolation_revoke",
    "pga_isolation_rights",
    "pga_job_alter",
    "pga_job_conflict",
    "pga_job_count",
    "pga_job_found",
    "pga_job_gate",
    "pga_job_give_up",
    "pga_job_has_time",
    "pga_job_id",
    "pga_job_lock",
    "pga_job_make",
    "pga_job_name",
    "pga_job_next_run",
    "pga_job_recompute",
    "pga_job_redefine",
    "pga_job_set",
    "pga_job_stop",
    "pga_job_to_write",
    "pga_job_wish",
    "pga_joblog_count",
    "pga_jobs_next",
    "pga_jobstep_alter",
    "pga_jobstep_drop",
    "pga_jobstep_found",
    "pga_jobstep_given",
    "pga_jobstep_named",
    "pga_jobstep_rename",
    "pga_jobstep_write",
    "pga_kind_of_step",
    "pga_local_time",
    "pga_login_holders",
    "pga_login_problem",
    "pga_may_alert_all",
    "pga_may_become",
    "pga_may_edit",
    "pga_may_edit_all",
    "pga_may_pause_all",
    "pga_may_see",
    "pga_may_see_all",
    "pga_may_use_batch",
    "pga_may_use_conninfo",
    "pga_may_use_runner_login",
    "pga_may_write_step",
    "pga_minute",
    "pga_next_run",
    "pga_next_schedule",
    "pga_on_conflict",
    "pga_owner_given",
    "pga_pause_note",
    "pga_paused_until",
    "pga_place",
    "pga_refuse",
    "pga_refuse_row",
    "pga_refuse_schedule",
    "pga_restore_begin",
    "pga_restore_end",
    "pga_restorer",
    "pga_restoring",
    "pga_role_id",
    "pga_role_problem",
    "pga_role_refusal",
    "pga_rule_found",
    "pga_rule_job",
    "pga_rule_of",
    "pga_run_note",
    "pga_schedule_base",
    "pga_schedule_by_fields",
    "pga_schedule_image",
    "pga_schedule_kind",
    "pga_schedule_next",
    "pga_schedule_parse",
    "pga_schedule_parsed",
    "pga_schedule_replace",
    "pga_schedule_text",
    "pga_schedule_warn",
    "pga_schedule_wished",
    "pga_schedule_write",
    "pga_schedules_alter",
    "pga_schedules_drop",
    "pga_schedules_excepted",
    "pga_schedules_found",
    "pga_schedules_named",
    "pga_schedules_next",
    "pga_schedules_one",
    "pga_schedules_put",
    "pga_schedules_rename",
    "pga_sees_all",
    "pga_sequence_gap",
    "pga_sequences_forward",
    "pga_server_address",
    "pga_server_port",
    "pga_silenced_until",
    "pga_span",
    "pga_step_refusal",
    "pga_system_id",
    "pga_ticket_problem",
    "pga_unarmed",
    "pga_why_dead",
    "pga_wish_gone",
    "pga_wish_next",
    "pga_wish_take",
    "pga_wish_withdraw",
    "pga_wishes",
    "pga_zone_change",
    "pga_zone_instant",
    "pga_zone_is_unknown",
    "pga_zone_local",
    "pga_zone_next",
    "pgagent_schema_version",
    "pgagent_version",
    "rename_class",
    "rename_job",
    "rename_schedule",
    "rename_step",
    "revert_job",
    "revoke_access",
    "run_job",
    "schedule",
    "schedule_in_database",
    "silence",
    "silence_all",
    "test_alert",
    "unpause_all",
    "unpause_job",
    "unschedule",
    "unsilence",
    "unsilence_all",
}


def names(conn, query):
    return [name for (name,) in conn.execute(query)]


def test_every_table_column_view_trigger_and_function_has_a_comment(conn):
    """Others have one only where it tells more than their definition does."""
    without = """
        WITH relation AS (
            SELECT c.oid FROM pg_class AS c
            WHERE c.relnamespace = 'pgagent'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm')
        ), object AS (
            SELECT 'pg_class'::regclass AS class, oid, 0 AS part FROM relation
            UNION ALL
            SELECT 'pg_class'::regclass, a.attrelid, a.attnum
            FROM relation JOIN pg_class AS c USING (oid) JOIN pg_attribute AS a ON a.attrelid = oid
            WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
            UNION ALL
            SELECT 'pg_trigger'::regclass, t.oid, 0
            FROM relation JOIN pg_trigger AS t ON t.tgrelid = relation.oid WHERE NOT t.tgisinternal
            UNION ALL
            SELECT 'pg_proc'::regclass, p.oid, 0
            FROM pg_proc AS p WHERE p.pronamespace = 'pgagent'::regnamespace
            UNION ALL
            SELECT 'pg_namespace'::regclass, 'pgagent'::regnamespace, 0
        )
        SELECT pg_describe_object(class, oid, part) FROM object
        WHERE NOT EXISTS (SELECT FROM pg_description AS d
                          WHERE (d.classoid, d.objoid, d.objsubid) = (class, oid, part))"""
    assert names(conn, without) == []


def test_every_function_pins_its_search_path(conn):
    loose = f"""
        SELECT f.oid::regprocedure::text FROM ({FUNCTIONS}) AS f
        WHERE (f.proconfig)[1] IS DISTINCT FROM 'search_path=pg_catalog, pg_temp'
              OR cardinality(f.proconfig) > 1 AND f.proname NOT IN (
                  'pga_class_lock', 'pga_job_next_run', 'pga_change_job', 'pga_change_step', 'pga_change_schedule', 'pga_change_write',
                  'export_jobs', 'apply_jobs', 'pga_told', 'pga_told_skip', 'pga_alert_watch')"""
    assert names(conn, loose) == []


def test_only_the_ticket_runs_with_its_owners_rights(conn):
    definer = f"SELECT f.proname::text FROM ({FUNCTIONS}) AS f WHERE f.prosecdef"
    assert names(conn, definer) == ["pga_login_ticket"]


def test_nobody_may_execute_what_is_not_for_everybody(conn):
    executable = f"""
        SELECT DISTINCT f.proname::text FROM ({FUNCTIONS}) AS f,
            aclexplode(COALESCE(f.proacl, acldefault('f', f.proowner))) AS a
        WHERE a.grantee = 0"""
    assert set(names(conn, executable)) ^ FOR_EVERYBODY == set()


@pytest.mark.needs("plpgsql_check")
def test_plpgsql_check_finds_nothing(conn):
    conn.execute("CREATE EXTENSION plpgsql_check")
    findings = f"""
        SELECT concat_ws(': ', f.proname, finding.lineno, finding.message, finding.detail, finding.context)
        FROM ({FUNCTIONS}) AS f
        JOIN pg_language AS l ON l.oid = f.prolang AND l.lanname = 'plpgsql'
        LEFT JOIN pg_trigger AS t ON t.tgfoid = f.oid
        CROSS JOIN LATERAL plpgsql_check_function_tb(
            f.oid, COALESCE(t.tgrelid, CASE f.proname WHEN 'job_cache_invalidate' THEN 'pgagent.pga_job'::regclass ELSE 0 END), fatal_errors => false, other_warnings => true,
            extra_warnings => true, performance_warnings => true, security_warnings => true
        ) AS finding
        -- Before PostgreSQL 14 a literal is text until it is assigned.
        WHERE NOT (current_setting('server_version_num')::integer < 140000
                   AND finding.message = 'target type is different type than source type'
                   AND finding.detail LIKE 'cast "text" value to "character" type')"""
    assert names(conn, findings) == []


def test_every_sqlstate_of_ours_is_expected_by_a_test():
    states = set(re.findall(r"\bPGA\d\d\b", sources("sql/functions/*/*.sql")))
    assert states
    assert {state for state in states if state not in all_tests()} == set()


def test_every_message_is_expected_by_a_test():
    tests = all_tests()
    assert [text for text in messages() if text not in tests] == []


def test_no_plain_literal_has_a_backslash():
    """With standard_conforming_strings off it would be an escape."""
    sql = "\n".join(
        sources(f"sql/{part}/*.sql") for part in ("tables", "functions/*", "upgrade")
    )
    code = re.sub(r"--[^\n]*|^\\\\echo .*$", "", sql, flags=re.MULTILINE)
    literals = re.findall(rf"(?<![eE'\w]){LITERAL}", code)
    assert len(literals) > 1000
    assert [text for text in literals if "\\" in text] == []


def sources(pattern):
    return "\n".join(path.read_text() for path in sorted(ROOT.glob(pattern)))


def all_tests():
    """Return the text of all tests, with literals on adjacent lines in one piece."""
    return re.sub(r'"\s*\n\s*[fr]?"', "", sources("tests/**/*.py"))


def messages():
    """Return of each text that the functions raise what is the same in every case."""
    sql = sources("sql/functions/*/*.sql")
    texts = set(re.findall(rf"RAISE (?:EXCEPTION|NOTICE|WARNING) {LITERAL}", sql))
    for call in re.finditer(r"PERFORM pgagent\.pga_refuse(?:_schedule)?\(", sql):
        *_, problem, _detail = arguments(sql[call.end() :])
        texts.update(re.findall(LITERAL, problem))
    return sorted({text for text in map(essence, texts) if " " in text})


def arguments(sql):
    """Split off the arguments of a call, whose opening parenthesis is left out."""
    depth, found = 0, [""]
    for match in re.finditer(rf"{LITERAL}|[(),]|[^'(),]+", sql):
        token = match.group()
        depth += {"(": 1, ")": -1}.get(token, 0)
        if depth < 0:
            break
        if token == "," and depth == 0:
            found.append("")
        else:
            found[-1] += token
    return found


def essence(message):
    """Return the longest part of a message that is the same in every case."""
    parts = re.split(r"%[sIL]?", message.replace("''", "'"))
    return max(parts, key=len).strip(' ",:')
