"""Connections that carry hellos, within the budget of a scan, and flights read and verified."""
