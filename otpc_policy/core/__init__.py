"""The values that every part of the program speaks: endpoints, addresses, facts and errors. No IO but the package's own data."""
