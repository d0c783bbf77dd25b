"""What the crew notes of its runs, recorded in a real catalogue."""

from contextlib import closing

import pytest
from jobs import add_job, runs
from pgagent_runner.agent.crew import Crew
from pgagent_runner.steps import SessionPool, StepSettings
from support import poll


class FailingPool(SessionPool):
    """Fails where nothing should."""

    error: Exception

    def give_back(self, target, session):
        self.close_one(target, session)
        raise self.error


@pytest.mark.parametrize("error", [OSError("closing"), RuntimeError("closing")])
def test_what_fails_after_a_run_has_ended_neither_changes_nor_hides_its_end(
    conn, dsn, claims, ledger, tasks, error
):
    pool = FailingPool()
    pool.error = error
    crew = Crew(
        1,
        tasks,
        ledger,
        StepSettings(dsn),
        pool,
        on_free=lambda: None,
        on_idle=lambda: None,
        on_silence=lambda: None,
    )
    add_job(conn, "SELECT 1")
    crew.start(claims.claim(1))

    poll(lambda: crew.idle)
    poll(lambda: runs(conn) == [("s", None)])
    assert crew.free == 1
    with pytest.raises(Exception, match="an error in the agent: closing"):
        crew.check()
    with closing(ledger):
        crew.dismiss()
    assert runs(conn) == [("s", None)]
