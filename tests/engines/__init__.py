"""Engines as the deciding program sees them."""
