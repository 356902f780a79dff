"""Benchmarks of finpipe against plain baselines: ``python -m finpipe_tests.benchmarks NAME --help``."""
