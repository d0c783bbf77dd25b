"""Whether the caller may read the server's files. Knows PL/Python's plpy."""


def may_read_secrets() -> bool:
    """Return whether the role that calls is a member of pg_read_server_files."""
    (answer,) = plpy.execute(
        "SELECT pg_has_role(current_user, 'pg_read_server_files', 'USAGE') AS yes"
    )
    return bool(answer["yes"])
