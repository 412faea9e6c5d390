"""A gRPC service that judges whether a partner's TLS endpoint meets a transport policy."""

__version__ = "0.1.0"
