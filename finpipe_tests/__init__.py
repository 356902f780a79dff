"""Tests of finpipe. They, and the commands that they start, keep freed memory as the command does."""

from finpipe.panel.memory import keep_freed_memory

keep_freed_memory()  # before any of them loads polars or numpy
