"""The composition root: builds the service from settings, listens, watches health, drains."""

from otpc_policy.server.application import Application, build_application
from otpc_policy.server.clock import SystemClock
from otpc_policy.server.serving import serve

__all__ = ["Application", "SystemClock", "build_application", "serve"]
