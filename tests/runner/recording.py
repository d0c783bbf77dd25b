"""Waiting until the end of a run is recorded."""

from concurrent.futures import Future

from pgagent_runner.run import execute_run


class Recorded(Future[None]):
    """Called when that is so, or with the error."""

    def __call__(self, error):
        if error is None:
            self.set_result(None)
        else:
            self.set_exception(error)


def execute_and_record(run, ledger, executor):
    """Execute a run, and wait until its end is recorded; raise why it is not."""
    recorded = Recorded()
    execute_run(run, ledger, executor, recorded)
    recorded.result(timeout=10)
