"""Generated from protos/otpc_policy/v1; `make proto` makes it again."""
