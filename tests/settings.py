"""Settings that somebody may prescribe to a database or a role, with an odd value."""

ODD = {
    "array_nulls": ["off"],
    "backslash_quote": ["off"],
    "bytea_output": ["escape"],
    "check_function_bodies": ["off"],
    "client_min_messages": ["error", "debug1"],
    "constraint_exclusion": ["on"],
    "cursor_tuple_fraction": ["1"],
    "datestyle": ["SQL, DMY", "German"],
    "default_table_access_method": ["heap"],
    "default_toast_compression": ["pglz"],
    "default_transaction_deferrable": ["on"],
    "default_transaction_isolation": ["serializable", "repeatable read"],
    "enable_bitmapscan": ["off"],
    "enable_hashagg": ["off"],
    "enable_indexscan": ["off"],
    "enable_nestloop": ["off"],
    "enable_seqscan": ["off"],
    "enable_sort": ["off"],
    "escape_string_warning": ["off"],
    "extra_float_digits": ["-15", "3"],
    "from_collapse_limit": ["1"],
    "geqo_threshold": ["2"],
    "idle_in_transaction_session_timeout": ["1min"],
    "idle_session_timeout": ["1min"],
    "intervalstyle": ["sql_standard", "postgres_verbose", "iso_8601"],
    "jit": ["off"],
    "join_collapse_limit": ["1"],
    "lc_messages": ["C"],
    "lc_monetary": ["C"],
    "lc_numeric": ["C"],
    "lc_time": ["C"],
    "lock_timeout": ["1min"],
    "plan_cache_mode": ["force_generic_plan", "force_custom_plan"],
    "plpgsql.check_asserts": ["off"],
    "plpgsql.extra_errors": ["all"],
    "plpgsql.extra_warnings": ["all"],
    "plpgsql.print_strict_params": ["on"],
    "plpgsql.variable_conflict": ["use_column", "use_variable"],
    "quote_all_identifiers": ["on"],
    "row_security": ["off"],
    "search_path": ["public", '""'],
    "standard_conforming_strings": ["off"],
    "statement_timeout": ["1min"],
    "synchronize_seqscans": ["off"],
    "synchronous_commit": ["off"],
    "temp_tablespaces": [""],
    "timezone": ["Asia/Kathmandu", "America/St_Johns"],
    "timezone_abbreviations": ["India"],
    "transform_null_equals": ["on"],
    "work_mem": ["64kB"],
    "xmlbinary": ["hex"],
    "xmloption": ["document"],
}


def known(conn):
    """Return what of them the server of this session has."""
    names = {
        name
        for (name,) in conn.execute("SELECT lower(name) FROM pg_settings").fetchall()
    }
    return {
        name: values
        for name, values in ODD.items()
        if name in names or name.startswith("plpgsql.")
    }
