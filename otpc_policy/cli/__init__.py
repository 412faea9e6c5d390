"""The command line: parses, asks the engine or a running service, renders. No rule and no measurement lives here.

Modules that take long to import are imported inside the commands that need them, so that --help stays quick.
"""

from otpc_policy.cli.app import main

__all__ = ["main"]
