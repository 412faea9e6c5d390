"""From evidence to facts, and the remarks for people that go with them. Pure."""
