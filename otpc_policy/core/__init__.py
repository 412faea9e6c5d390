"""The values that every part of the program speaks: endpoints, addresses, facts and errors.

Nothing here does IO, but for the package's own data files, read when they are first asked for.
"""
