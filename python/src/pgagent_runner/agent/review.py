"""The task that looks for schedules whose time zones the server does not know."""

import asyncio
import logging
import random

from pgagent_runner.catalog import CatalogError, Reviewed, review_jobs

log = logging.getLogger(__name__)

_PAUSE = 60.0  # seconds between two rounds


class Review:
    """Has jobs run again as soon as a time zone is known: `work` is a task."""

    def __init__(self, conninfo: str, pause: float = _PAUSE) -> None:
        """Prepare; each round has a session of its own."""
        self._conninfo = conninfo
        self._pause = pause
        self._unknown: set[int] = set()

    async def work(self) -> None:
        """Look until cancelled; what is under way then is a transaction."""
        # Runners that are started together do not begin together.
        await asyncio.sleep(random.uniform(0.01, 0.05) * self._pause)  # noqa: S311
        while True:
            try:
                for found in await review_jobs(self._conninfo, self._unknown):
                    self._note(found)
            except CatalogError as e:
                log.warning("could not review the time zones of schedules: %s", e)
            await asyncio.sleep(self._pause)

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
