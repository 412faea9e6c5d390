"""A service installed without the engine (make test-front): nothing of this runs in make test."""
