"""What surrounds every call, whatever its method."""
