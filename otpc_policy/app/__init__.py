"""The composition root: builds the service from its settings, listens, watches health, drains.

Measuring is not part of it: nothing here imports sslyze, nassl or a resolver.
"""
