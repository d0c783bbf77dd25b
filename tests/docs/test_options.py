"""The table of options in docs/operating.md is what options.py declares."""

import re
import tomllib

import option_table
import pytest
from pgagent_runner.configuration import Configuration
from pgagent_runner.declaring import gather, options_of
from pgagent_runner.options import AgentOptions


def test_the_table_of_options_is_up_to_date():
    assert option_table.PAGE.read_text() == option_table.page(), "run `make docs`"


@pytest.mark.parametrize(
    "example",
    re.findall(r"```toml\n(.*?)```", option_table.PAGE.read_text(), re.DOTALL),
)
def test_the_files_that_are_shown_are_files_that_can_be_read(example):
    file = Configuration(option_table.PAGE, tomllib.loads(example))

    assert gather(AgentOptions, {}, {}, file)


def test_variables_that_are_mentioned_are_there():
    mentioned = set(re.findall(r"\bPGAGENT_\w+", option_table.PAGE.read_text()))
    known = {one.variable for one in options_of(AgentOptions)}

    assert {
        m for m in mentioned - known if not re.match(".*_((JOB|RUN|STEP)_|INPUT$)", m)
    } == set()
