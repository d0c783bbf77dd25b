"""Listening for whoever asks how the runner is: probes, and Prometheus.

A room that the runner enters only with --listen. Nothing that is asked here may delay a
run: see `server.py` for what nobody can drive up.
"""

from pgagent_runner.listening.listening import Listening, open_listening

__all__ = ["Listening", "open_listening"]
