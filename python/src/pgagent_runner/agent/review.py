"""Looking, now and then, for schedules whose time zones the server does not know."""

import logging
import math
import time

from pgagent_runner.catalog import CatalogError, Connection, Reviewed, review_jobs

log = logging.getLogger(__name__)

_PAUSE = 50.0  # seconds, at least, between two looks


class Review:
    """Has jobs run again as soon as a time zone is known."""

    def __init__(self, pause: float = _PAUSE) -> None:
        """Look at most once in this many seconds."""
        self._pause = pause
        self._looked_at = -math.inf
        self._unknown: set[int] = set()

    async def look(self, session: Connection) -> None:
        """Look by a session that is new, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._looked_at < self._pause:
            return
        self._looked_at = now
        try:
            for found in await review_jobs(session, self._unknown):
                self._note(found)
        except CatalogError as e:
            log.warning("could not review the time zones of schedules: %s", e)

    def _note(self, found: Reviewed) -> None:
        """Say what is new."""
        text = 'job %s (%s): the time zone of its schedule "%s" %s: %s'
        if found.is_unknown and found.id not in self._unknown:
            self._unknown.add(found.id)
            what = "is not known to this server, so it starts no run"
        elif not found.is_unknown:
            self._unknown.discard(found.id)
            what = "is known again"
        else:
            return
        log.log(
            logging.WARNING if found.is_unknown else logging.INFO,
            *(text, found.job_id, found.job_name, found.name, what, found.zone),
            extra=found.about(),
        )
