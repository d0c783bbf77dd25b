"""A database for questions, which leave nothing behind."""

import psycopg
import pytest


@pytest.fixture(scope="session")
def asking(cluster, template):
    """A connection that many tests share: what they store, they roll back."""
    with psycopg.connect(cluster.conninfo("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE asking TEMPLATE {template.template_dbname}")
    with psycopg.connect(cluster.conninfo("asking"), autocommit=True) as connection:
        yield connection
