"""What to ask a server, and what its answers prove. Without IO."""
