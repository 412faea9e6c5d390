"""Caching facts, and sharing one measurement among callers."""
