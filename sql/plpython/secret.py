"""Secrets from the server's files or environment."""

import os
import stat


def secret(source: "str | None", allowed: bool) -> "str | None":  # noqa: FBT001
    """Read `file:/absolute/path`, which nobody else may read, or `env:NAME`.

    It goes to wherever the caller says, which is as good as reading it oneself.
    """
    if source is None:
        return None
    if not allowed:
        raise RefusalError(
            "credentials are for members of pg_read_server_files",
            "Others can call a function of such a role, with SECURITY DEFINER.",
        )
    kind, _, name = source.partition(":")
    if kind == "env" and name:
        if name not in os.environ:
            raise RefusalError(
                f'the server\'s environment has no variable "{name}"',
                "It is that of the PostgreSQL server when it was started.",
            )
        return os.environ[name].strip()
    if kind != "file" or not os.path.isabs(name):  # noqa: PTH117
        raise RefusalError(
            "credentials are read from a file or the environment",
            "Wanted is file:/absolute/path or env:NAME, never the secret itself.",
        )
    try:
        # A pipe that nobody writes would keep the backend waiting.
        number = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(number, encoding="utf-8") as file:  # noqa: PTH123
            mode = os.fstat(number).st_mode
            if not stat.S_ISREG(mode):
                raise RefusalError(f'"{name}" is no file', "Wanted is a plain file.")
            if stat.S_IMODE(mode) & 0o077:
                raise RefusalError(
                    f'"{name}" can be read by others', "Wanted is mode 0600: chmod 600."
                )
            return file.read(65536).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise RefusalError(
            f'"{name}" can\'t be read', f"{type(error).__name__}, as the server's user."
        ) from None
