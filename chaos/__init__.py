"""The chaos suite: what pgagent promises, tried under faults, and checked from outside.

It takes the runner for a black box: command line, tables, signals and log.
"""
