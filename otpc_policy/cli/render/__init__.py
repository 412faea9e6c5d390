"""Messages of the contract as text for a terminal. Pure: a message goes in, something rich can print comes out."""
