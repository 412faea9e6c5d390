"""gRPC servicers, interceptors and the table of statuses."""
