"""The composition root: builds the service from its settings, listens, watches health, drains.

What measures is no part of it: nothing here imports sslyze, nassl or a resolver.
"""
