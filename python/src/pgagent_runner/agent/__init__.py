"""The agent: it keeps a session with the catalogue and runs what is due.

One thread, the agent's own, waits, claims and watches; each run has a worker thread.
Whether something is due is the database's decision; here only waiting is measured.
"""

from pgagent_runner.agent.agent import Agent
from pgagent_runner.agent.options import AgentOptions

__all__ = ["Agent", "AgentOptions"]
