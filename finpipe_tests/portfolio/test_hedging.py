from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from finpipe.portfolio.hedging import hedge, strength
from finpipe.portfolio.returns import Returns, simple_returns
from finpipe_tests.portfolio.sample_bars import real_bars, weekdays


@pytest.fixture
def returns() -> Returns:
    random = np.random.default_rng(11)
    x = random.standard_normal(300) * 0.01
    values = np.column_stack(
        [x, -0.5 * x + 0.004 * random.standard_normal(300), 0.02 * random.standard_normal(300)]
    )
    values[:20, 1] = np.nan
    values[50, 0] = np.nan
    return Returns(("LONG", "MIRROR", "STRANGER"), weekdays(300), values)


def test_figures_equal_scipy(returns):
    from scipy.stats import linregress, pearsonr

    made = hedge(returns, "LONG", "MIRROR", window=40)
    x, y = returns.values[~np.isnan(returns.values).any(axis=1), :2].T
    peer = pearsonr(x, y)
    assert made.correlation == pytest.approx(peer.statistic, rel=1e-12)
    assert made.p_value == pytest.approx(peer.pvalue, rel=1e-6)
    assert made.hedge_ratio == pytest.approx(linregress(y, x).slope, rel=1e-12)
    windows = [np.corrcoef(x[i : i + 40], y[i : i + 40])[0, 1] for i in range(len(x) - 39)]
    np.testing.assert_allclose(made.rolling["correlation"], windows, rtol=1e-6)
    assert (made.days, made.rolling.height, made.window) == (279, 240, 40)
    assert (made.start, made.end) == (dt.date(2015, 1, 29), dt.date(2016, 2, 24))
    assert made.rolling["date"][-1] == made.end
    assert made.is_hedge
    assert made.strength == "Strong"


def test_a_weak_pair_has_a_p_value_that_says_so(returns):
    from scipy.stats import pearsonr

    made = hedge(returns, "LONG", "STRANGER")
    known = ~np.isnan(returns.values[:, 0])
    assert made.p_value == pytest.approx(pearsonr(*returns.values[known][:, [0, 2]].T).pvalue, rel=1e-9)
    assert not made.is_hedge
    assert made.strength == "Weak"


def test_no_other_weights_have_less_variance(returns):
    made = hedge(returns, "LONG", "MIRROR")
    pair = returns.values[~np.isnan(returns.values[:, :2]).any(axis=1)][:, :2]
    assert sum(made.weights.values()) == pytest.approx(1)

    def volatility(weight: float) -> float:
        return float((pair @ [weight, 1 - weight]).std(ddof=1) * np.sqrt(252))

    best = volatility(made.weights["LONG"])
    assert made.hedged_volatility == pytest.approx(best, rel=1e-9)
    assert best < min(volatility(made.weights["LONG"] + step) for step in (-0.01, 0.01))
    assert best < min(made.volatilities.values())


def test_what_is_left_after_hedging_is_uncorrelated(returns):
    made = hedge(returns, "LONG", "MIRROR")
    pair = returns.values[~np.isnan(returns.values[:, :2]).any(axis=1)]
    rest = pair[:, 0] - made.hedge_ratio * pair[:, 1]
    assert np.corrcoef(rest, pair[:, 1])[0, 1] == pytest.approx(0, abs=1e-12)


def test_a_perfect_mirror_and_a_twin():
    x = np.random.default_rng(1).standard_normal(100) * 0.01
    returns = Returns(("X", "MINUS", "TWIN"), weekdays(100), np.column_stack([x, -x, x]))
    mirror = hedge(returns, "X", "MINUS")
    assert (mirror.correlation, mirror.p_value, mirror.is_hedge) == (-1.0, 0.0, True)
    assert mirror.weights == {"X": pytest.approx(0.5), "MINUS": pytest.approx(0.5)}
    assert mirror.hedged_volatility == pytest.approx(0, abs=1e-9)
    assert hedge(returns, "X", "TWIN").weights == {"X": 0.5, "TWIN": 0.5}


@pytest.mark.parametrize(
    ("correlation", "word"),
    [(0.71, "Strong"), (-0.71, "Strong"), (0.7, "Moderate"), (-0.51, "Moderate"), (0.5, "Weak"), (0, "Weak")],
)
def test_words_for_strength(correlation, word):
    assert strength(correlation) == word


def test_a_window_longer_than_the_period_and_still_stretches_give_no_rolling_figure(returns):
    assert hedge(returns, "LONG", "STRANGER", window=400).rolling.height == 0
    still = returns.values.copy()
    still[100:140, 2] = 0.0
    rolling = hedge(Returns(returns.tickers, returns.dates, still), "LONG", "STRANGER", window=20).rolling
    assert rolling["correlation"].null_count() > 0
    assert rolling["correlation"].is_between(-1, 1).all()


def test_nonsense_is_refused(returns):
    with pytest.raises(ValueError, match="LONG cannot hedge itself"):
        hedge(returns, "LONG", "LONG")
    with pytest.raises(ValueError, match="no prices of KO; there are those of LONG, MIRROR, STRANGER"):
        hedge(returns, "LONG", "KO")
    with pytest.raises(ValueError, match="at least 3 days, not 2"):
        hedge(returns, "LONG", "MIRROR", window=2)
    short = Returns(returns.tickers, returns.dates[:45], returns.values[:45])
    with pytest.raises(ValueError, match="have returns on 25 common days; 30 are needed"):
        hedge(short, "LONG", "MIRROR")
    still = Returns(("A", "B"), returns.dates, np.column_stack([returns.values[:, 2], np.zeros(300)]))
    with pytest.raises(ValueError, match="price of B never moved"):
        hedge(still, "A", "B")


def test_coke_and_pepsi(shared_data):
    returns = simple_returns(real_bars(shared_data, dt.date(2012, 1, 1), dt.date(2016, 12, 31)))
    made = hedge(returns, "KO", "PEP")
    assert made.correlation == pytest.approx(0.6, abs=0.1)
    assert made.strength == "Moderate"
    assert not made.is_hedge
    assert made.p_value < 1e-10
