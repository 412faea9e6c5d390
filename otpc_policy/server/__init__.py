"""The composition root: builds the service from settings, listens, watches health, drains."""
