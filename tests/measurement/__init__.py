"""Messages between the two programs."""
