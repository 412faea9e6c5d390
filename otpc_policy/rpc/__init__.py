"""The gRPC edge: servicers, conversion, interceptors and the table of statuses. No rules."""
