from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finpipe.portfolio.covariance import METHODS, covariance
from finpipe.portfolio.returns import Returns
from finpipe.portfolio.short_histories import completed
from finpipe_tests.portfolio.plain_covariance import plain_pairwise
from finpipe_tests.portfolio.sample_bars import weekdays

YEAR = 252
DAYS, TICKERS, LATE, LISTED = 800, 60, 8, 126


def returns_of(values: np.ndarray) -> Returns:
    names = tuple(f"T{i:03d}" for i in range(values.shape[1]))
    return Returns(names, weekdays(len(values)), np.asfortranarray(values))


def factor_market(seed: int, days: int = DAYS, tickers: int = TICKERS) -> tuple[np.ndarray, np.ndarray]:
    """Returns of a market factor, three weaker ones and noise of each ticker's own; and their true covariance."""
    random = np.random.default_rng(seed)
    loadings = np.hstack([random.normal(0.010, 0.003, (tickers, 1)), random.normal(0, 0.004, (tickers, 3))])
    own = random.uniform(0.008, 0.02, tickers)
    values = random.standard_normal((days, 4)) @ loadings.T + random.standard_normal((days, tickers)) * own
    return values, loadings @ loadings.T + np.diag(own**2)


def listed_late(values: np.ndarray, late: int = LATE, days: int = LISTED) -> np.ndarray:
    values = values.copy()
    values[:-days, :late] = np.nan
    return values


def smallest_volatility(matrix: np.ndarray) -> np.ndarray:
    """Weights of the portfolio of least volatility, shorts allowed."""
    weights = np.linalg.solve(matrix, np.ones(len(matrix)))
    return weights / weights.sum()


def plain_completion(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Regress each short column on the components of the whole ones, the ridge as rows added to the data."""
    whole = ~np.isnan(values).any(axis=0)
    standard = values[:, whole] - values[:, whole].mean(axis=0)
    standard = standard / standard.std(axis=0)
    days, size = standard.shape
    left, singular, _ = np.linalg.svd(standard, full_matrices=False)
    eigenvalues = singular**2 / days
    kept = min(size, max(10, int((eigenvalues > (1 + np.sqrt(size / days)) ** 2).sum())))
    scores, eigenvalues = left[:, :kept] * np.sqrt(days), eigenvalues[:kept]
    filled, unexplained = values.copy(), []
    for column in (filled[:, i] for i in np.flatnonzero(~whole)):
        known = ~np.isnan(column)
        x, y = scores[known] - scores[known].mean(axis=0), column[known] - column[known].mean()
        rows = np.vstack([x, np.diag(np.sqrt(size / eigenvalues))])
        loadings = np.linalg.lstsq(rows, np.r_[y, np.zeros(kept)], rcond=None)[0]
        unexplained.append(y.var(ddof=1) - ((x @ loadings) ** 2).sum() / (len(y) - 1))
        column[~known] = column[known].mean() + (scores[~known] - scores[known].mean(axis=0)) @ loadings
    return filled, np.array(unexplained)


@settings(deadline=None, max_examples=30)
@given(st.integers(60, 90), st.integers(2, 16), st.integers(1, 3), st.integers(2, 25), st.integers(0, 10_000))
def test_late_listings_equal_the_plain_regression(days, whole, late, listed, seed):
    values = listed_late(factor_market(seed, days, whole + late)[0], late, listed)
    # A hole inside a short history is missing like any other day.
    values[-1, 0] = np.nan if listed > 3 else values[-1, 0]
    ours = completed(values)
    filled, unexplained = plain_completion(values)
    np.testing.assert_allclose(ours.values, filled, rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(ours.residual, unexplained, rtol=1e-7, atol=1e-12)
    assert ours.long == whole

    sample = covariance(returns_of(values), "sample").matrix
    missing = np.isnan(values).sum(axis=0)[:late]
    expected = np.cov(filled.T)
    expected[range(late), range(late)] += missing * unexplained / (days - 1)
    np.testing.assert_allclose(sample, expected * YEAR, rtol=1e-6, atol=1e-12)

    shrunk = covariance(returns_of(values))
    expected *= (days - 1) / days
    target = np.eye(len(expected)) * np.trace(expected) / len(expected)
    squares = (filled - filled.mean(axis=0)) ** 2
    squares[:, :late] += np.isnan(values[:, :late]) * unexplained
    noise = (squares.T @ squares / days - expected**2).sum() / (~np.isnan(values)).sum(axis=0).mean()
    weight = min(noise / ((expected - target) ** 2).sum(), 1.0)
    assert shrunk.shrinkage == pytest.approx(weight, rel=1e-6)
    np.testing.assert_allclose(
        shrunk.matrix, ((1 - weight) * expected + weight * target) * YEAR, rtol=1e-6, atol=1e-12
    )


def test_whole_returns_are_left_as_they_are():
    values = factor_market(1)[0]
    result = completed(values)
    np.testing.assert_array_equal(result.values, values)
    assert (len(result.columns), result.components, result.long) == (0, 0, TICKERS)


@pytest.mark.parametrize("method", ["sample", "exponential"])
def test_whole_histories_keep_their_moments_exactly(method):
    values = factor_market(2)[0]
    alone = covariance(returns_of(values[:, LATE:]), method).matrix
    beside = covariance(returns_of(listed_late(values)), method).matrix[LATE:, LATE:]
    np.testing.assert_allclose(beside, alone, rtol=1e-12, atol=1e-16)


def test_late_listings_come_closer_to_the_truth_than_pair_by_pair():
    ratios = []
    for seed in range(4):
        values, truth = factor_market(seed)
        values = listed_late(values)
        ours = covariance(returns_of(values), "sample").matrix / YEAR
        error, theirs = (np.linalg.norm((m - truth)[:LATE]) for m in (ours, plain_pairwise(values)))
        ratios.append(error / theirs)
    assert max(ratios) < 0.9
    assert np.mean(ratios) < 0.75


@pytest.mark.parametrize("days", [40, 126, 300])
@pytest.mark.parametrize("method", ["sample", "ledoit-wolf", "oas", "denoised"])
def test_the_least_volatile_portfolio_is_as_volatile_as_forecast(method, days):
    values, truth = factor_market(7)
    result = covariance(returns_of(listed_late(values, days=days)), method)
    assert len(result.repaired) == 1, "nothing but the completion"
    weights = smallest_volatility(result.matrix)
    forecast = np.sqrt(weights @ result.matrix @ weights)
    realised = np.sqrt(weights @ truth @ weights * YEAR)
    # With 60 tickers and 800 days the best portfolio of complete data is 1 / (1 - 60 / 800) = 8% off, too.
    assert realised == pytest.approx(forecast, rel=0.2)


def test_tickers_that_never_met_are_correlated_through_the_others():
    values, truth = factor_market(9)
    values[300:, 0] = np.nan
    values[:500, 1] = np.nan
    result = covariance(returns_of(values), "sample")
    expected = truth[0, 1] / np.sqrt(truth[0, 0] * truth[1, 1])
    assert expected > 0.2
    assert result.correlation[0, 1] == pytest.approx(expected, abs=0.1)


def test_two_strangers_alone_are_uncorrelated_and_keep_their_variances():
    values = factor_market(10, 100, 2)[0]
    values[60:, 0] = np.nan
    values[:60, 1] = np.nan
    result = covariance(returns_of(values), "sample").matrix / YEAR
    assert abs(result[0, 1]) < 1e-3 * np.sqrt(result[0, 0] * result[1, 1])
    np.testing.assert_allclose(np.diag(result), np.nanvar(values, axis=0, ddof=1), rtol=0.02)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(400, 30), (80, 120)])
def test_all_short_at_different_times(method, shape):
    values = factor_market(11, *shape)[0]
    days = len(values)
    for i, column in enumerate(values.T):
        start = (i * days // 3) // shape[1]
        column[:start] = np.nan
        column[start + 2 * days // 3 :] = np.nan
    whole = completed(values)
    assert len(whole.columns) == shape[1]
    assert np.isfinite(whole.values).all()
    result = covariance(returns_of(values), method)
    np.linalg.cholesky(result.matrix)
    assert np.median(result.volatilities / (np.nanstd(values, axis=0) * YEAR**0.5)) == pytest.approx(
        1, abs=0.2
    )


def test_all_short_at_different_times_come_close_to_the_truth():
    values, truth = factor_market(12)
    for i, column in enumerate(values.T):
        column[: i * 5] = np.nan
        column[i * 5 + 500 :] = np.nan
    result = covariance(returns_of(values))
    weights = smallest_volatility(result.matrix)
    assert len(result.repaired) == 1
    assert np.sqrt(weights @ truth @ weights * YEAR) == pytest.approx(
        np.sqrt(weights @ result.matrix @ weights), rel=0.25
    )


def test_holes_in_long_histories_are_completed_from_the_others():
    values, _ = factor_market(13)
    holes = np.random.default_rng(1).random(values.shape) < 0.02
    holed = np.where(holes, np.nan, values)
    whole = completed(holed)
    assert whole.long >= TICKERS // 2
    np.testing.assert_array_equal(whole.values[~holes], values[~holes])
    error = np.sqrt(((whole.values - values)[holes] ** 2).mean())
    assert error < 0.85 * values[holes].std()
    explained = 1 - whole.residual / values.var(axis=0)[whole.columns]
    assert explained.max() < 0.9, "no ticker explains itself"


@pytest.mark.parametrize("method", METHODS)
def test_holes_among_constant_and_single_series(method):
    flat = np.zeros((50, 3))
    flat[:20, 0] = np.nan
    flat[7, 1] = np.nan
    single = factor_market(14, 50, 1)[0]
    single[3:9] = np.nan
    for values in (flat, single):
        np.linalg.cholesky(covariance(returns_of(values), method).matrix)


def test_the_completed_are_counted_and_named():
    values = factor_market(15, 300, 12)[0]
    values[:100, 3] = np.nan
    values[:200, 5] = np.nan
    assert covariance(returns_of(values)).repaired == (
        "2 of 12 tickers lack returns of up to 200 of 300 days, completed by regression on 10 principal components "
        "of the 10 long histories: T005, T003",
    )
