"""Metrics as operators use them: the reference, the rules, the dashboard and their runbooks."""
