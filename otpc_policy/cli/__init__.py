"""The command line: parses, asks the engine or a running service, renders. No rules, no measuring.

Slow modules are imported inside the commands that need them, so that --help stays quick.
"""

from otpc_policy.cli.app import main

__all__ = ["main"]
