"""Numbers and names that IANA assigns, and what we add to them: data, and modules that ask it."""
