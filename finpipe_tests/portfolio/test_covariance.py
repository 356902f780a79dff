from __future__ import annotations

import datetime as dt
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from finpipe.portfolio.covariance import METHODS, Covariance, covariance
from finpipe.portfolio.returns import Returns, simple_returns
from finpipe_tests.portfolio.sample_bars import real_bars, weekdays

YEAR = 252


def returns_of(values: np.ndarray) -> Returns:
    values = np.asfortranarray(values)
    names = tuple(f"T{i:03d}" for i in range(values.shape[1]))
    return Returns(names, weekdays(len(values)), values)


def noise(days: int, tickers: int, seed: int = 3) -> np.ndarray:
    random = np.random.default_rng(seed)
    market = random.standard_normal((days, 1)) * 0.01
    return market + random.standard_normal((days, tickers)) * np.linspace(0.005, 0.03, tickers)


def holes(values: np.ndarray, seed: int = 5) -> np.ndarray:
    """Two late listings, one scattering of gaps, the rest whole."""
    values = values.copy()
    days = len(values)
    values[: days // 2, 0] = np.nan
    values[: days // 3, 1] = np.nan
    values[np.random.default_rng(seed).random(days) < 0.1, 2] = np.nan
    return values


def is_sound(matrix: np.ndarray) -> None:
    np.testing.assert_array_equal(matrix, matrix.T)
    np.linalg.cholesky(matrix)
    assert np.isfinite(matrix).all()


@pytest.fixture(scope="module")
def real(shared_data) -> Returns:
    return simple_returns(real_bars(shared_data, dt.date(2012, 1, 1), dt.date(2016, 12, 31)))


def complete(returns: Returns) -> Returns:
    return returns.pick(
        [t for t, gaps in zip(returns.tickers, np.isnan(returns.values).any(0), strict=True) if not gaps]
    )


@pytest.mark.parametrize("shape", [(300, 20), (40, 90), (60, 2)])
def test_ledoit_wolf_and_oas_equal_sklearn(shape):
    from sklearn.covariance import OAS, LedoitWolf

    values = noise(*shape)
    for method, peer in (("ledoit-wolf", LedoitWolf()), ("oas", OAS())):
        ours = covariance(returns_of(values), method)
        peer.fit(values)
        np.testing.assert_allclose(ours.matrix, peer.covariance_ * YEAR, rtol=1e-12, atol=1e-17)
        assert ours.shrinkage == pytest.approx(peer.shrinkage_, rel=1e-12)
        assert ours.repaired == ()


def test_ledoit_wolf_equals_sklearn_on_the_real_market(real):
    from sklearn.covariance import ledoit_wolf

    whole = complete(real)
    ours = covariance(whole)
    theirs, shrinkage = ledoit_wolf(whole.values)
    assert len(whole.tickers) > 450
    np.testing.assert_allclose(ours.matrix, theirs * YEAR, rtol=1e-12, atol=1e-16)
    assert ours.shrinkage == pytest.approx(shrinkage, rel=1e-12)


def test_sample_equals_numpy():
    values = noise(200, 10)
    np.testing.assert_allclose(
        covariance(returns_of(values), "sample").matrix, np.cov(values.T) * YEAR, rtol=1e-12
    )


def test_exponential_equals_pandas():
    values = noise(200, 6)
    weighted = pd.DataFrame(values).ewm(halflife=30).cov(bias=True).loc[199].to_numpy()
    ours = covariance(returns_of(values), "exponential", half_life=30)
    np.testing.assert_allclose(ours.matrix, weighted * YEAR, rtol=1e-10)


@pytest.mark.parametrize("shape", [(500, 40), (300, 120)])
def test_denoised_equals_skfolio(shape):
    from skfolio.moments import DenoiseCovariance

    values = noise(*shape)
    theirs = DenoiseCovariance().fit(values).covariance_ * YEAR
    np.testing.assert_allclose(covariance(returns_of(values), "denoised").matrix, theirs, rtol=1e-8)


def test_denoised_equals_skfolio_on_the_real_market(real):
    from skfolio.moments import DenoiseCovariance

    some = real.pick(complete(real).tickers[:100])
    theirs = DenoiseCovariance().fit(some.values).covariance_ * YEAR
    np.testing.assert_allclose(covariance(some, "denoised").matrix, theirs, rtol=1e-8)


@pytest.mark.parametrize("method", ["sample", "exponential"])
def test_a_late_listing_changes_nothing_among_the_others(method):
    values = noise(200, 5)
    alone = covariance(returns_of(values[:, 1:]), method).matrix
    values[:150, 0] = np.nan
    np.testing.assert_allclose(covariance(returns_of(values), method).matrix[1:, 1:], alone, rtol=1e-12)


HARD = {
    "more tickers than days": noise(50, 120),
    "duplicates": np.hstack([noise(200, 4), noise(200, 4)]),
    "a constant series": np.hstack([noise(200, 4), np.zeros((200, 1))]),
    "constant series only": np.zeros((50, 3)),
    "missing days": holes(noise(120, 40)),
    "missing days and duplicates": np.tile(holes(noise(60, 5)), 3),
    "one ticker": noise(100, 1),
    "two opposites": noise(100, 1) * [1.0, -1.0],
    "no common days": np.where(np.arange(100)[:, None] < [50, 101], noise(100, 2), np.nan)[::-1][:, ::-1],
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("case", HARD)
def test_always_positive_definite(method, case):
    values = HARD[case]
    result = covariance(returns_of(values), method)
    is_sound(result.matrix)
    assert result.matrix.shape == (values.shape[1],) * 2
    assert (result.volatilities > 0).all()


def test_what_was_repaired_is_said():
    duplicates = covariance(returns_of(HARD["duplicates"]), "sample").repaired
    assert len(duplicates) == 1
    assert duplicates[0].startswith("4 of 8 eigenvalues of the correlation were raised to 1.0e-08")
    still = covariance(returns_of(HARD["a constant series"]), "sample").repaired
    assert still == ("T004 hardly ever moved and was given a volatility of 0.01% a year",)
    assert covariance(returns_of(HARD["a constant series"])).repaired == ()


def test_repair_keeps_the_variances():
    values = HARD["duplicates"]
    result = covariance(returns_of(values), "sample")
    assert result.repaired
    np.testing.assert_allclose(np.diag(result.matrix), values.var(axis=0, ddof=1) * YEAR, rtol=1e-12)


def test_correlation_and_volatilities():
    result = Covariance(("A", "B"), np.array([[0.04, 0.01], [0.01, 0.09]]), "sample")
    np.testing.assert_allclose(result.volatilities, [0.2, 0.3])
    np.testing.assert_allclose(result.correlation, [[1, 1 / 6], [1 / 6, 1]])


def test_nonsense_is_refused():
    returns = returns_of(noise(50, 2))
    with pytest.raises(ValueError, match="no covariance method 'lw'; there are ledoit-wolf"):
        covariance(returns, "lw")
    with pytest.raises(ValueError, match="half-life is 0 days"):
        covariance(returns, "exponential", half_life=0)
    with pytest.raises(ValueError, match="fewer than two returns of T001"):
        covariance(returns_of(np.where([True, False], noise(50, 2), np.nan)))
    with pytest.raises(ValueError, match="no tickers"):
        covariance(returns_of(np.zeros((5, 0))))


def test_the_real_market_with_its_late_listings(real):
    for method in METHODS:
        result = covariance(real, method)
        is_sound(result.matrix)
        assert np.median(result.volatilities) == pytest.approx(0.23, abs=0.04)


def test_the_real_market_has_the_volatility_that_was_forecast(real):
    result = covariance(real)
    assert len(result.repaired) == 1
    assert result.repaired[0].startswith("23 of 483 tickers lack returns of up to 1132 of 1257 days")
    weights = np.linalg.solve(result.matrix, np.ones(len(result.tickers)))
    weights /= weights.sum()
    values = np.asarray(real.values)
    together = values[~np.isnan(values).any(axis=1)]
    assert len(together) > 100
    realised = (together @ weights).std() * YEAR**0.5
    assert realised == pytest.approx(np.sqrt(weights @ result.matrix @ weights), rel=0.15)


def test_ledoit_wolf_needs_no_heavy_library():
    code = (
        "import sys, numpy as np; from finpipe.portfolio.covariance import covariance;"
        "from finpipe.portfolio.returns import Returns;"
        "covariance(Returns(('A', 'B'), np.arange(9).astype('datetime64[D]'), np.random.rand(9, 2)));"
        "print([m for m in ('sklearn', 'skfolio', 'scipy', 'pandas', 'numba') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
