"""What each kind of document may say, and the values that it holds."""
