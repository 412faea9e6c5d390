"""What one cold check costs, next to the tools that people use today."""
