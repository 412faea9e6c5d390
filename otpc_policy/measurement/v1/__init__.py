"""Generated from protos/otpc_policy/measurement/v1; `make proto` makes it again."""
