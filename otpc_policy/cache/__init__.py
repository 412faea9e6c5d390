"""Facts kept between checks. Verdicts are never kept here; flights belong to the use case (`check.flights`)."""
