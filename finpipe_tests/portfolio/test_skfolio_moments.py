"""The Gerber covariance is skfolio's where nothing is missing, and a late listing costs the others nothing."""

from __future__ import annotations

import numpy as np
import pytest

from finpipe.portfolio.covariance import covariance
from finpipe.portfolio.short_histories import completed
from finpipe_tests.portfolio.test_covariance import YEAR, complete, is_sound, noise, real, returns_of

__all__ = ["real"]


def counted_by_hand(values):
    """Days on which both move far, to the same side less to opposite sides, over days on which either does."""
    deviations = values.std(axis=0)
    far = np.where(np.abs(values) >= deviations / 2, np.sign(values), 0)
    count = values.shape[1]
    matrix = np.empty((count, count))
    for i in range(count):
        for j in range(count):
            either = ((far[:, i] != 0) | (far[:, j] != 0)).sum()
            matrix[i, j] = (far[:, i] * far[:, j]).sum() / either * deviations[i] * deviations[j]
    return matrix


@pytest.mark.parametrize("shape", [(300, 20), (60, 2), (900, 5)])
def test_equals_skfolio_and_the_definition(shape):
    from skfolio.moments import GerberCovariance

    values = noise(*shape)
    ours = covariance(returns_of(values), "gerber")
    np.testing.assert_allclose(ours.matrix, GerberCovariance().fit(values).covariance_ * YEAR, rtol=1e-9)
    np.testing.assert_allclose(ours.matrix, counted_by_hand(values) * YEAR, rtol=1e-9)
    assert (ours.method, ours.shrinkage, ours.repaired) == ("gerber", None, ())


def test_equals_skfolio_on_the_real_market(real):
    from skfolio.moments import GerberCovariance

    some = real.pick(complete(real).tickers[:100])
    theirs = GerberCovariance().fit(np.asarray(some.values)).covariance_ * YEAR
    np.testing.assert_allclose(covariance(some, "gerber").matrix, theirs, rtol=1e-9, atol=1e-14)


def test_a_late_listing_changes_nothing_among_the_others():
    values = noise(400, 8)
    alone = covariance(returns_of(values[:, 1:]), "gerber").matrix
    values[:250, 0] = np.nan
    ours = covariance(returns_of(values), "gerber")
    is_sound(ours.matrix)
    np.testing.assert_allclose(ours.matrix[1:, 1:], alone, rtol=1e-12)
    known = values[250:, 0].var() * YEAR
    assert ours.matrix[0, 0] == pytest.approx(known, rel=0.25)


def test_what_a_completion_leaves_unexplained_is_added_to_the_variance():
    values = noise(400, 8)
    values[:250, 0] = np.nan
    whole = completed(values)
    ours = covariance(returns_of(values), "gerber").matrix / YEAR
    assert ours[0, 0] == pytest.approx(whole.values[:, 0].var() + whole.residual[0] * 250 / 400, rel=1e-12)
    assert whole.residual[0] > 0


def test_one_extreme_day_moves_no_correlation_to_one():
    values = np.random.default_rng(8).normal(0, 0.01, (500, 2))
    calm = covariance(returns_of(values), "gerber").correlation[0, 1]
    values[100] = 0.4
    assert covariance(returns_of(values), "sample").correlation[0, 1] > 0.7
    assert abs(covariance(returns_of(values), "gerber").correlation[0, 1] - calm) < 0.2
