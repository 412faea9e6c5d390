"""The TOML parser of policies and partners. Both are the same: tomli is what the standard library took in, compiled and three times as fast.

tomli reads TOML 1.1, the standard library's copy 1.0; documents are written in 1.0, and what only 1.1 knows depends on nothing here.
"""

try:
    from tomli import TOMLDecodeError, loads
except ImportError:
    from tomllib import TOMLDecodeError, loads

__all__ = ["TOMLDecodeError", "loads"]
