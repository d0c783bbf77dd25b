"""`make matrix`: the tests on each PostgreSQL and each Python that is promised.

table.py says what comes from where; debian.py, npm.py and pypi.py fetch servers,
pythons.py finds interpreters, suite.py runs the tests in a cell, and report.py
writes docs/compatibility.md. Nothing is installed outside build/matrix.
"""
