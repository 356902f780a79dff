"""The service: an HTTP interface to prices, portfolios and the results of the research line, and one page."""
