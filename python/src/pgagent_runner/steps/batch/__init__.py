"""Batch steps: scripts, and the processes that guard them."""
