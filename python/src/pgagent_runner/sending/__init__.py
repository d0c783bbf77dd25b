"""Alerts get out: what a message says, and the ways in which it is sent.

`pgagent send-alerts` is all that loads this room; the runner starts that as a child.
"""
