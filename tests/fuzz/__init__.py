"""Calls that nobody would make, in great numbers, against the running service."""
