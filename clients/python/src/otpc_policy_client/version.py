"""The version of this distribution. It follows the service's: a client is released with each."""

__version__ = "0.1.0"
