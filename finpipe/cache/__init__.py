"""Keeping what was fetched or computed once: memory, mapped files, a shared store, and what to keep warm.

It stores Arrow tables and JSON under keys until an instant that the caller's policy names; it knows no finance.
"""
