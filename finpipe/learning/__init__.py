"""Targets, universe, walk-forward folds and the ranker."""
