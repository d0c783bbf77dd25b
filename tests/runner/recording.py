"""Waiting until the end of a run is recorded."""

from concurrent.futures import Future

from pgagent_runner.events import Events, RunRecorded
from pgagent_runner.run import execute_run


class Recorded(Future[None]):
    """Listens until that is so, or has failed: then it raises the error."""

    def __call__(self, event):
        if isinstance(event, RunRecorded):
            self.note(event.error)

    def note(self, error):
        """Learn that it is recorded, or why not."""
        if error is None:
            self.set_result(None)
        else:
            self.set_exception(error)


def execute_and_record(loop, run, ledger, executor):
    """Execute a run, and wait until its end is recorded; raise why it is not."""
    recorded = Recorded()
    loop.call(execute_run, run, ledger.itself, executor.itself, Events(recorded))
    recorded.result(timeout=10)
