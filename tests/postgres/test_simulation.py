"""docs/growth.md says what its script says, and the script what arithmetic says."""

from dataclasses import replace

import pytest

from benches import simulation
from benches.course import simulate
from benches.fleet import BATCH, Plan

SMALL = Plan(users=2_000, processes=4, reach=4, requests_per_user=0.5, changes_per_user=0)


def test_the_page_has_the_tables_that_the_script_prints() -> None:
    page = simulation.PAGE.read_text()
    tables = simulation.tables()
    assert {name for _, name, _ in simulation.TABLE.findall(page)} == tables.keys()
    assert simulation.filled(page, tables) == page, "python -m benches.simulation --write"


@pytest.mark.parametrize("max_age_seconds", [2, 20])
@pytest.mark.parametrize("changes_per_user", [0, 0.1])
def test_the_hit_ratio_comes_to_the_closed_form(max_age_seconds: float, changes_per_user: float) -> None:
    plan = replace(SMALL, max_age_seconds=max_age_seconds, changes_per_user=changes_per_user)
    course = simulate(plan, 120)
    assert course.hit_ratio(60, 120) == pytest.approx(plan.hit_ratio, abs=0.01)
    assert course.per_second(course.requests, 60, 120) == pytest.approx(plan.requests, rel=0.02)
    assert course.per_second(course.changes, 0, 120) == pytest.approx(plan.changes, rel=0.05)


def test_the_same_seed_has_the_same_course() -> None:
    assert simulate(SMALL, 10) == simulate(SMALL, 10)
    assert simulate(SMALL, 10) != simulate(SMALL, 10, seed=2)


def test_after_a_purge_every_pair_is_looked_up_once_more() -> None:
    ageless = replace(SMALL, max_age_seconds=1e9)
    course = simulate(ageless, 240, purge=120)
    met = [sum(course.lookups[second] for second in range(start, start + 120)) for start in (0, 120)]
    assert met == pytest.approx([ageless.pairs, ageless.pairs], rel=1e-3)
    assert course.peak(120, 130, 1) <= ageless.requests * 1.1


def test_a_statement_takes_what_arrives_while_another_is_under_way() -> None:
    assert SMALL.batch(1) == 1
    assert SMALL.batch(1e9) == BATCH
    assert SMALL.statements(1e9) == 1e9 / BATCH
    # A single token, and a full statement, take what was measured.
    assert SMALL.busy(1) == pytest.approx(SMALL.single_seconds)
    assert SMALL.busy(1e9) == pytest.approx(1e9 * SMALL.batched_seconds)
