"""What people are told of a runner that may not start the jobs of a copy."""

import logging
import math
import time

from pgagent_runner.systemd import notify

log = logging.getLogger(__name__)

_PAUSE = 60.0  # seconds from one line of the log to the next


class Arming:
    """Tells the log and the service manager whether jobs may be started here."""

    def __init__(self, where: str) -> None:
        """Prepare; `where` is the database, for people."""
        self._where = where
        self.unarmed: str | None = None
        self._told_at = -math.inf

    def note(self, unarmed: str | None) -> bool:
        """Learn why no job may be started, if so; tell if they may from now on."""
        before, self.unarmed = self.unarmed, unarmed
        if unarmed is None:
            if before is not None:
                log.info("the jobs of %s have been armed", self._where)
                notify(self.status)
            return before is not None
        if unarmed != before or time.monotonic() >= self._told_at + _PAUSE:
            self._told_at = time.monotonic()
            log.warning("%s", unarmed)
            notify(self.status)
        return False

    @property
    def status(self) -> str:
        """The status of the service, for its manager."""
        if self.unarmed is not None:
            return f"STATUS=Starts no job: {self.unarmed}"
        return f"STATUS=Serves {self._where}"
