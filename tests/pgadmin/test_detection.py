"""Whether pgAdmin shows its node "pgAgent Jobs", and what it takes the schema for."""

from contextlib import closing

import psycopg
import pytest

from .client import CLASSES, NODE_IS_SHOWN, STEPS_HAVE_CONNECTION_STRINGS, send


def test_the_node_is_shown(pgadmin):
    assert send(pgadmin, NODE_IS_SHOWN) == [{"has_privilege": True}]


def test_steps_are_known_to_have_connection_strings(pgadmin):
    assert send(pgadmin, STEPS_HAVE_CONNECTION_STRINGS) == [{"has_connstr": True}]


def test_the_node_is_hidden_from_a_role_without_rights(outsider):
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        send(outsider, NODE_IS_SHOWN)


def test_the_node_is_hidden_where_the_extension_is_not(cluster):
    with closing(psycopg.connect(cluster.conninfo(), autocommit=True)) as session:
        assert send(session, NODE_IS_SHOWN) == []


def test_the_five_classes_are_offered(pgadmin):
    assert {row["value"]: row["label"] for row in send(pgadmin, CLASSES)} == {
        1: "Routine Maintenance",
        2: "Data Import",
        3: "Data Export",
        4: "Data Summarisation",
        5: "Miscellaneous",
    }
