"""Building and accounting for what is installed. Not part of the wheel."""
