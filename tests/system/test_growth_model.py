"""The tables in docs/growth.md are up to date, and the simulation agrees with the formulas."""

from dataclasses import replace

import pytest

from benches.model import tables
from benches.model.fleet import BATCH, Plan
from benches.model.simulation import simulate

SMALL = Plan(users=2_000, processes=4, reach=4, requests_per_user=0.5, changes_per_user=0)


def test_the_page_has_the_current_tables() -> None:
    page = tables.PAGE.read_text()
    current = tables.tables()
    assert {name for _, name, _ in tables.TABLE.findall(page)} == current.keys()
    assert tables.filled(page, current) == page, "run: python -m benches.model --write"


@pytest.mark.parametrize("max_age_seconds", [2, 20])
@pytest.mark.parametrize("changes_per_user", [0, 0.1])
def test_the_simulated_hit_ratio_matches_the_formula(max_age_seconds: float, changes_per_user: float) -> None:
    plan = replace(SMALL, max_age_seconds=max_age_seconds, changes_per_user=changes_per_user)
    result = simulate(plan, 120)
    assert result.hit_ratio(60, 120) == pytest.approx(plan.hit_ratio, abs=0.01)
    assert result.per_second(result.requests, 60, 120) == pytest.approx(plan.requests, rel=0.02)
    assert result.per_second(result.changes, 0, 120) == pytest.approx(plan.changes, rel=0.05)


def test_the_same_seed_gives_the_same_result() -> None:
    assert simulate(SMALL, 10) == simulate(SMALL, 10)
    assert simulate(SMALL, 10) != simulate(SMALL, 10, seed=2)


def test_after_a_purge_each_pair_of_user_and_process_needs_one_more_lookup() -> None:
    ageless = replace(SMALL, max_age_seconds=1e9)
    result = simulate(ageless, 240, purge=120)
    lookups = [sum(result.lookups[second] for second in range(start, start + 120)) for start in (0, 120)]
    assert lookups == pytest.approx([ageless.pairs, ageless.pairs], rel=1e-3)
    assert result.peak(120, 130, 1) <= ageless.requests * 1.1


def test_a_statement_has_the_tokens_that_arrive_during_the_previous_one() -> None:
    assert SMALL.batch(1) == 1
    assert SMALL.batch(1e9) == BATCH
    assert SMALL.statements(1e9) == 1e9 / BATCH
    # Single tokens and full statements take the measured times.
    assert SMALL.busy(1) == pytest.approx(SMALL.single_seconds)
    assert SMALL.busy(1e9) == pytest.approx(1e9 * SMALL.batched_seconds)
