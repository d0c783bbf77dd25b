"""The agent: it keeps a session with the catalogue and runs what is due.

The main thread registers, keeps up the heartbeat and watches. The claimer, each run and
the ledger are tasks of another thread. Whether something is due is the database's
decision; here only waiting is measured.
"""

from pgagent_runner.agent.agent import Agent

__all__ = ["Agent"]
