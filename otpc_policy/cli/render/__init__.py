"""Messages of the contract as text for a terminal. Pure: from a message to a renderable of rich."""
