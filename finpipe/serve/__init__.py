"""The service: finpipe over HTTP, with a page, from caches that answer at once and workers that compute.

It reads what the home holds as files; it neither runs nor imports the orchestration.
"""
