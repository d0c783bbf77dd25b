"""Reads the file with the secrets of send_mail() and post_webhook()."""

import configparser
import os
import stat

from pga_answer import Refused

VARIABLE = "PGAGENT_MAIL_CONFIG"


def read_settings(path):
    """Return the sections of the settings file; none if no file is named.

    path: what pgagent.mail_config names, or None for what the environment does. What
    stands in the file never becomes part of an error.
    """
    settings = configparser.ConfigParser(interpolation=None)
    path = path or os.environ.get(VARIABLE)
    if path:
        try:
            settings.read_string(trusted_text(path))
        except (configparser.Error, UnicodeDecodeError):
            raise unsettled(
                path, "can't be read", "Wanted are [sections] of key = value, in UTF-8."
            ) from None
    return settings


def trusted_text(path):
    """Return what stands in the file, if nobody but its owner can read it."""
    if not os.path.isabs(path):
        raise unsettled(path, "is no absolute path", "Wanted is one that begins with /.")
    try:
        # A pipe would keep the server waiting for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unsettled(path, "can't be opened", f"{error.strerror}.") from None
    with os.fdopen(descriptor, encoding="utf-8") as file:
        status = os.fstat(descriptor)
        mode = stat.S_IMODE(status.st_mode)
        if not stat.S_ISREG(status.st_mode):
            raise unsettled(path, "is not a file", "Wanted is a plain file.")
        if status.st_uid not in {0, os.geteuid()}:
            raise unsettled(path, "belongs to another", "Its owner must be the server's user.")
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise unsettled(path, f"is open to others, mode {mode:04o}", "chmod 600 closes it.")
        return file.read()


def unsettled(path, problem, detail):
    """Return the refusal of a settings file."""
    return Refused("55000", f"settings file {path} {problem}", detail)


def section(settings, name, allowed):
    """Return a section as a dict, if it is there and has no other keys than these."""
    if not settings.has_section(name):
        raise Refused(
            "55000",
            f"settings: there is no section [{name}]",
            "The settings are in the file that pgagent.mail_config names in"
            f" postgresql.conf, or {VARIABLE} in the server's environment.",
        )
    unknown = sorted(set(settings[name]) - set(allowed))
    if unknown:
        raise Refused(
            "55000",
            "settings: [{}] knows no {}".format(name, ", ".join(unknown)),
            "Allowed are {}.".format(", ".join(allowed)),
        )
    return dict(settings[name])
