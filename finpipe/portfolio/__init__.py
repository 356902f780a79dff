"""From daily bars to expected returns, risk, optimal weights and whole shares."""
