"""Commands with values in place of $1, $2 ... do what they did with parameters."""

import json

import pytest
from pgagent_runner.verbs.imports.placeholders import with_values

# As the server understands them: with the values as parameters, and without any.
COMMANDS = [
    ("SELECT $1::text", ["it's"]),
    ("SELECT $1::int + $2", [1, 2]),
    ("SELECT $2::text, $1::text, $2::text", ["a", "b"]),
    ("SELECT '$1', $1::text", ["a"]),
    ("SELECT E'it\\'s $1', $1::text", ["a"]),
    ("SELECT '''$1''', $1::text", ["a"]),
    ('SELECT $1::text AS "$1 x"', ["a"]),
    ("SELECT $$ $1 $$, $1::text", ["a"]),
    ("SELECT $of$ $1 $$ $2 $of$, $1::text", ["a"]),
    ("SELECT a$1, $1::text FROM (VALUES (7)) AS v (a$1)", ["b"]),
    ("SELECT $1::text -- not $2\n", ["a"]),
    ("SELECT /* not $2 */ $1::text", ["a"]),
    ("SELECT $1::boolean, $2::numeric, $3::text IS NULL", [True, 1.5, None]),
    ("SELECT $1::jsonb -> 'a'", [{"a": ["ü", None]}]),
    ("SELECT $1::date + 1", ["2027-01-31"]),
    ("SELECT length($1), lower($1)", ["A\\B\n'"]),
    ("SELECT -$1::int", [-5]),
]


@pytest.mark.parametrize(("command", "values"), COMMANDS)
def test_a_command_with_values_means_the_same(asking, command, values):
    texts = [v if v is None or isinstance(v, str) else json.dumps(v) for v in values]
    with_parameters = asking.pgconn.exec_params(
        command.encode(), [text if text is None else text.encode() for text in texts]
    )
    without = asking.pgconn.exec_(with_values(command, values).encode())

    assert _rows(without) == _rows(with_parameters)


def _rows(result):
    assert not result.error_message
    columns = range(result.nfields)
    return [
        [result.get_value(row, n) for n in columns] for row in range(result.ntuples)
    ]


@pytest.mark.parametrize(
    ("command", "values", "reason"),
    [
        ("SELECT $2", ["a"], "there is no value for $2"),
        ("SELECT $0", ["a"], "there is no value for $0"),
        ("SELECT 1", ["a"], "the command has no $1"),
    ],
)
def test_a_value_too_many_or_too_few_is_told(command, values, reason):
    with pytest.raises(ValueError, match=reason.replace("$", "[$]")):
        with_values(command, values)
