"""Measuring an endpoint: sslyze handshakes in worker processes, joined into facts."""
