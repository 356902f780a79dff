"""Simulated portfolios on the market calendar, what they earned, and the report about it."""
