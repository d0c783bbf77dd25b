"""What is written as TOML is read as the same, and reads well."""

import random
import tomllib

import pytest
from pgagent_runner.verbs import toml

ODD = "\x00\x01\b\t\n\x0b\f\r\x1b\x7f\"'\\ aü\u2028\ufeff\x9b\u202e\U000e0041\U0001f600"


@pytest.mark.parametrize("seed", range(20))
def test_any_text_is_read_as_it_was(seed):
    chance = random.Random(seed)
    for _ in range(300):
        text = "".join(chance.choices(ODD, k=chance.randrange(12)))
        text += chance.choice(["", "\n", "'''", '"""', "\r\n", "\\", "'", '"'])
        document = {
            "x": text,
            "jobs": [{"name": text, "steps": [{text: [text, 1, True, 2.5]}]}],
        }
        assert toml.loads(toml.dumps(document)) == document


@pytest.mark.parametrize("text", ["{}", "{}\n", '"{}', "\\{}", "'{}\n"])
@pytest.mark.parametrize(
    "sign", "\x1b\x7f\x85\x9b\u061c\u200b\u2028\u202e\u2066\ufeff\U000e0041"
)
def test_nothing_in_a_file_misleads_whoever_looks_at_it(text, sign):
    written = toml.dumps({"command": text.format(sign)})
    assert sign not in written
    assert toml.loads(written) == {"command": text.format(sign)}


def test_sql_stands_as_it_was_written():
    code = "SELECT E'\\\\n' AS \"x\";\nSELECT 2;\n"
    assert toml.dumps({"command": code}) == f"command = '''\n{code}'''\n"


def test_it_reads_well():
    document = {
        "jobs": [
            {
                "schedules": [
                    {
                        "exceptions": [{"time": "12:00", "date": "2031-01-01"}],
                        "schedule": "@daily",
                    }
                ],
                "steps": [{"command": "SELECT 1", "name": "1", "retry_on": ["40001"]}],
                "enabled": False,
                "parameters": {"later": 1},
                "name": "x",
            }
        ],
        "format": 1,
    }
    assert (
        toml.dumps(document)
        == """\
format = 1

[[jobs]]
name = "x"
enabled = false
parameters = { later = 1 }

[[jobs.steps]]
name = "1"
retry_on = ["40001"]
command = "SELECT 1"

[[jobs.schedules]]
schedule = "@daily"
exceptions = [
    { date = "2031-01-01", time = "12:00" },
]
"""
    )


def test_dates_and_times_of_toml_are_texts():
    text = "a = 2031-05-01\nb = 12:30:00\nc = 2031-05-01T09:00:00+02:00\nd = [2031-05-01 09:00:00]\ne = nan"
    assert toml.loads(text) == {
        "a": "2031-05-01",
        "b": "12:30:00",
        "c": "2031-05-01T09:00:00+02:00",
        "d": ["2031-05-01T09:00:00"],
        "e": "nan",
    }


def test_what_is_no_toml_is_refused():
    with pytest.raises(tomllib.TOMLDecodeError):
        toml.loads("a = ")
