"""MeasurementService: measurements, names and the state of the engine over gRPC."""
