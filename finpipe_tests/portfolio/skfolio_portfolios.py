"""The optimiser's problems as skfolio solves them, on the same moments."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from skfolio import RiskMeasure
    from skfolio.distance import CovarianceDistance
    from skfolio.optimization import (
        HierarchicalEqualRiskContribution,
        HierarchicalRiskParity,
        MeanRisk,
        ObjectiveFunction,
        RiskBudgeting,
    )
    from skfolio.prior import BasePrior, ReturnDistribution

PRECISE = {"tol_gap_abs": 1e-9, "tol_gap_rel": 1e-9, "tol_feas": 1e-9}


class GivenMoments(BasePrior):
    """A prior that returns the moments that it was given."""

    def __init__(self, expected: np.ndarray, covariance: np.ndarray, returns: np.ndarray) -> None:
        self.expected, self.covariance, self.returns = expected, covariance, returns

    def fit(self, X: Any, y: Any = None, **_: Any) -> GivenMoments:
        del X, y
        self.return_distribution_ = ReturnDistribution(
            mu=self.expected, covariance=self.covariance, returns=self.returns
        )
        return self


def mean_risk(
    expected, covariance, returns, objective="minimize_risk", measure="standard_deviation", **limits
):
    """Weights of skfolio's ``MeanRisk``, bounds of 0 to 20% unless ``limits`` say otherwise."""
    model = MeanRisk(
        objective_function=ObjectiveFunction(objective),
        risk_measure=RiskMeasure(measure),
        prior_estimator=GivenMoments(expected, covariance, returns),
        solver_params=PRECISE,
        **{"max_weights": 0.2, **limits},
    )
    return _weights(model, returns)


def risk_budgeting(expected, covariance, returns):
    """Weights of skfolio's ``RiskBudgeting`` on the variance."""
    prior = GivenMoments(expected, covariance, returns)
    return _weights(RiskBudgeting(risk_measure=RiskMeasure.VARIANCE, prior_estimator=prior), returns)


def hierarchical(covariance, returns, **bounds):
    """Weights of skfolio's ``HierarchicalRiskParity`` on a given covariance."""
    model = HierarchicalRiskParity(
        prior_estimator=GivenMoments(np.zeros(len(covariance)), covariance, returns),
        distance_estimator=CovarianceDistance(covariance_estimator="precomputed"),
        **bounds,
    )
    return _weights(model, returns)


def hierarchical_of_returns(returns):
    """Weights of skfolio's ``HierarchicalRiskParity`` as it comes."""
    return _weights(HierarchicalRiskParity(), returns)


def equal_risk_of_returns(returns, **bounds):
    """Weights of skfolio's ``HierarchicalEqualRiskContribution`` as it comes."""
    return _weights(HierarchicalEqualRiskContribution(**bounds), returns)


def _weights(model, returns):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(returns).weights_
