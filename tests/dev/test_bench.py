"""What is concluded from what was measured."""

from beside import CPU, DELAY, RATE, interval, judged
from statements import logged

ROUND = {CPU: 200.0, RATE: 4000.0, DELAY: 3.0}
SCATTER = (0.98, 1.01, 0.99, 1.02, 1.0, 0.97, 1.03, 1.0, 0.99, 1.01)


def pairs(**factors):
    """Return pairs of an old round and a new one that differs by these factors."""
    names = {"cpu": CPU, "rate": RATE, "delay": DELAY}
    changed = {names[name]: factor for name, factor in factors.items()}
    return [
        {
            "old": ROUND,
            "new": {
                name: figure * changed.get(name, 1.0) * scatter
                for name, figure in ROUND.items()
            },
        }
        for scatter in SCATTER
    ]


def verdicts(noise=None, **factors):
    """Return which figures are found dearer than 1.05."""
    result = {"old": "a", "new": "b", "pairs": pairs(**factors)}
    lines, is_any = judged(result | {"noise": noise or pairs()}, 1.05)
    dearer = {
        name
        for name in ROUND
        for line in lines
        if f"| {name} |" in line and "DEARER" in line
    }
    assert is_any is bool(dearer)
    return dearer


def test_same_cost_is_no_dearer():
    assert verdicts() == set()


def test_each_figure_that_is_a_tenth_worse_is_dearer():
    assert verdicts(cpu=1.1) == {CPU}
    assert verdicts(rate=0.9) == {RATE}
    assert verdicts(delay=1.1) == {DELAY}


def test_what_became_cheaper_is_no_dearer():
    assert verdicts(cpu=0.5, rate=2.0, delay=0.5) == set()


def test_what_lies_within_the_noise_is_no_dearer():
    assert verdicts(noise=pairs(cpu=1.2), cpu=1.1) == set()
    assert verdicts(noise=pairs(cpu=1 / 1.2), cpu=1.1) == set()


def test_an_interval_holds_its_median_and_not_every_ratio():
    found = interval(pairs(cpu=1.1), CPU)
    assert found.low <= found.middle <= found.high
    assert 1.1 * min(SCATTER) < found.low
    assert found.high < 1.1 * max(SCATTER)


def test_statements_are_counted_once_however_they_were_sent():
    log = (
        "bench 7 pgagent LOG:  statement: SET a = 1; SET b = 2\n"
        "bench 7 pgagent LOG:  execute <unnamed>: SELECT 1\n\tFROM t\n"
        "bench 7 pgagent DETAIL:  parameters: $1 = '1'\n"
        "bench 9 a job LOG:  execute named_1: INSERT INTO t VALUES ($1)\n"
        "bench 5 bench LOG:  statement: SELECT 'of the harness'\n"
    )
    assert list(logged(log)) == [
        ("7", "SET a = 1; SET b = 2"),
        ("7", "SELECT 1\n\tFROM t"),
        ("9", "INSERT INTO t VALUES ($1)"),
    ]
