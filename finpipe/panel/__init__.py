"""The (stock x day) panel and its kernels: rolling windows by stock, cross-sections by date."""
