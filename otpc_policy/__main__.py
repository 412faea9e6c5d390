"""python -m otpc_policy is the command otpc-policy."""

from otpc_policy.cli import main

main()
