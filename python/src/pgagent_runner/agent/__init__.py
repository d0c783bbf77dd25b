"""The agent: it is registered with the catalogue and runs what is due.

All of it is tasks of one loop but the lease, which is renewed, and the fence, which
stops everything when it can't be, by threads of their own. Whether something is due is
the database's decision; here only waiting is measured.
"""

from pgagent_runner.agent.agent import Agent

__all__ = ["Agent"]
