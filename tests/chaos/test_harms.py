"""A few lines of the table of bad things, all at once: `make chaos ONLY=harms` has them all."""

from dataclasses import replace

import pytest

from chaos.harms.subject import this_tree
from chaos.harms.table import chosen, run_table

SHARPEST = (
    "fails-step",
    "fails-deferred-run",
    "unqualified-on-claim",
    "refuses-claim",
    "null-run",
    "check-output",
    "rule-update-job",
    "deletes-own-run",
    "free-by-hand",
    "sequence-of-runs-back",
    "lock-log",
)
SECONDS = 6


@pytest.fixture(scope="module")
def results():
    """What became of everybody beside each bad thing."""
    patient = replace(this_tree(), epsilon=5)  # on a machine that has more to do
    table = run_table(patient, chosen(SHARPEST), SECONDS, len(SHARPEST))
    return {result.name: result for result in table}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", SHARPEST)
def test_one_bad_thing_harms_nothing_else(results, name):
    assert results[name].broken == [], results[name].log
