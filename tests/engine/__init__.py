"""The program that measures."""
