"""The checker finds what is wrong in histories made by hand: it can fail."""

from chaos.checker import Run, Skip, Target, Window, assign, check, crowded

JOB = 1


def targets(*dues):
    return [Target(JOB, due) for due in dues]


def run(number, start, status="s", **more):
    return Run(number, JOB, start, status, **({"end": start + 1} | more))


def faults(*arguments, **options):
    found = check(*arguments, **({"epsilon": 5} | options)).faults()
    return {kind: count for kind, count in found.items() if count}


def test_a_history_without_faults_passes():
    verdict = check(targets(10, 20), [run(1, 10.5), run(2, 21)], epsilon=5)

    assert verdict.ok
    assert verdict.met == 2


def test_a_lost_run_is_found():
    assert faults(targets(10, 20), [run(1, 10)]) == {"lost": 1}


def test_a_doubled_run_is_found():
    runs = [run(1, 10), run(2, 11), run(3, 20)]
    assert faults(targets(10, 20), runs) == {"extra": 1}


def test_a_run_before_its_time_is_found():
    assert faults(targets(10), [run(1, 9.9)]) == {"lost": 1, "extra": 1}


def test_a_run_without_an_end_is_found():
    assert faults(targets(10), [run(1, 10, "r", end=None)]) == {"incomplete": 1}
    assert faults(targets(10), [run(1, 10, "s", end=None)]) == {"incomplete": 1}


def test_an_abort_without_a_reason_is_found():
    assert faults(targets(10), [run(1, 10, "d")]) == {"unexplained": 1}
    assert faults(targets(10), [run(1, 10, "d", message="why")]) == {}


def test_a_late_run_is_found():
    assert faults(targets(10), [run(1, 16)]) == {"late": 1}


def test_two_runs_for_one_scheduled_time_are_found():
    runs = [run(1, 10, scheduled=10), run(2, 20, scheduled=10)]
    assert faults(targets(10, 20), runs) == {"doubled": 1}


def test_an_effect_that_happened_twice_is_found():
    assert faults(targets(10), [run(1, 10, effects=2)]) == {"doubled": 1}


def test_success_without_effect_is_found():
    assert faults(targets(10), [run(1, 10, effects=0)]) == {"untrue": 1}


def test_an_effect_without_success_is_untrue_where_both_commit_together():
    aborted = {"status": "d", "message": "why", "effects": 1}
    assert faults(targets(10), [run(1, 10, **aborted)]) == {}
    assert faults(targets(10), [run(1, 10, **aborted, atomic=True)]) == {"untrue": 1}


def test_a_fault_window_excuses_what_it_held_up_but_no_extra_run():
    outage = [Window(18, 32, "restart")]

    verdict = check(targets(10, 20, 30, 40), [run(1, 10), run(2, 33), run(3, 40)],
                    epsilon=5, windows=outage)  # fmt: skip

    assert verdict.ok
    assert verdict.met == 2
    assert verdict.excused == 2
    assert verdict.missed == targets(20)
    assert faults(targets(10), [run(1, 10), run(2, 33)], windows=outage) == {"extra": 1}


def test_a_target_beside_the_window_is_not_excused():
    just_before = {"windows": [Window(10.5, 20)]}
    assert faults(targets(10), [], **just_before) == {}
    assert faults(targets(9), [], **just_before) == {"lost": 1}
    assert faults(targets(20.5), [], **just_before) == {"lost": 1}


def test_what_is_recorded_as_left_out_is_not_lost():
    skips = [Skip(1, 12, 13), Skip(2, 14, 15)]
    verdict = check(targets(10, 12, 14), [run(1, 10, end=13)], epsilon=1, skips=skips)

    assert verdict.skipped == targets(12)
    assert verdict.lost == targets(14)


def test_as_many_targets_as_possible_are_met():
    pairs = assign(targets(10, 12), [run(1, 12), run(2, 14)], epsilon=5)

    assert {target.due: run.id for target, run in pairs.items()} == {10: 1, 12: 2}


def test_jobs_are_told_apart():
    assert faults([Target(2, 10)], [run(1, 10)]) == {"lost": 1, "extra": 1}


LIMITED = {1: 1, 2: 1, 3: 1, 4: 2}  # the class of each job


def crowd(*runs):
    """Return the ids of those of (job, start, end) that are too many at once."""
    history = [
        Run(number, job, start, "s", end=end)
        for number, (job, start, end) in enumerate(runs, 1)
    ]
    return [found.id for found in crowded(reversed(history), LIMITED, {1: 2})]


def test_as_many_runs_at_once_as_may_be_are_no_excess():
    assert crowd((1, 10, 12), (2, 11, 13), (3, 12, 14), (1, 13, 15)) == []


def test_an_excess_is_found():
    assert crowd((1, 10, 12), (2, 11, 13), (3, 11.999, 14)) == [3]
    assert crowd((1, 10, 12), (2, 10, 12), (3, 10, 12), (1, 11, 12)) == [3, 4]


def test_a_run_without_an_end_takes_a_place_for_ever():
    assert crowd((1, 10, None), (2, 20, 21), (3, 20.5, 22), (2, 21, 22)) == [3, 4]


def test_runs_of_a_class_without_a_limit_are_no_excess():
    assert crowd((4, 10, 20), (4, 10, 20), (4, 10, 20), (1, 10, 20)) == []
