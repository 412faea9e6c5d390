"""From evidence to facts, and what people are told about them. Pure."""
