"""Traces by OpenTelemetry, for services that ask for them. No other module imports its packages.

The extra `tracing` brings them; without the setting nothing here is imported.
"""
