"""Reads the file with the secrets of send_mail() and post_webhook()."""

import configparser
import os
import stat

from pga_answer import Refused

LOCAL = {"localhost", "127.0.0.1", "::1"}
LONGEST = 300  # seconds
VARIABLE = "PGAGENT_MAIL_CONFIG"


def read_settings(path):
    """Return the sections of the settings file; none if no file is named.

    path: what pgagent.mail_config names, or None for what the environment does. What
    stands in the file never becomes part of an error.
    """
    settings = configparser.ConfigParser(interpolation=None)
    path = path or os.environ.get(VARIABLE)
    if not path:
        return settings
    try:
        settings.read_string(trusted_text(path))
    except (configparser.Error, UnicodeDecodeError) as error:
        line = getattr(error, "lineno", None) or getattr(error, "errors", [[None]])[0][0]
        where = f", line {line}" if line else ""
        raise unsettled(path, f"can't be read{where}", "Wanted are [sections] of key = value lines in UTF-8.") from None
    return settings


def trusted_text(path):
    """Return what stands in the file, if nobody but its owner could read it."""
    if not os.path.isabs(path):
        raise unsettled(path, "is no absolute path", "The server has no directory of its own to start from.")
    try:
        # Not to wait for the other end of a pipe.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unsettled(path, "can't be opened", f"{error.strerror}.") from None
    with open(descriptor, encoding="utf-8") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise unsettled(path, "is no file", "Wanted is a plain file.")
        if status.st_uid not in {0, os.geteuid()}:
            raise unsettled(path, "belongs to a stranger", "Wanted is a file of the server's user, or of root.")
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            mode = stat.S_IMODE(status.st_mode)
            raise unsettled(path, f"is open to others: mode {mode:04o}", "chmod 600 closes it.")
        return file.read()


def unsettled(path, problem, detail):
    """Return the refusal of a settings file."""
    return Refused("55000", f"settings file {path}: {problem}", detail)


def section(settings, name, allowed):
    """Return a section as a dict, all of whose keys are allowed ones."""
    if not settings.has_section(name):
        raise Refused(
            "55000",
            f"the settings have no section [{name}]",
            f"They are in the file that pgagent.mail_config in postgresql.conf, or {VARIABLE} in the server's environment, names.",
        )
    found = dict(settings[name])
    for key in found:
        if key not in allowed:
            raise Refused("55000", f'settings: [{name}] knows no "{key}"', "Allowed are {}.".format(", ".join(allowed)))
    return found


def checked_timeout(seconds):
    """Return a timeout, if it is a sensible one."""
    if seconds is None or not 0 < seconds <= LONGEST:
        raise Refused("22023", f"timeout: {seconds} seconds", f"Allowed is more than 0, up to {LONGEST} seconds.")
    return seconds


def without(secrets, text):
    """Return a text from elsewhere, fit for the log, with no secret of ours in it."""
    for secret in sorted(filter(None, secrets), key=len, reverse=True):
        text = text.replace(secret, "***")
    return text.replace("\0", "")
