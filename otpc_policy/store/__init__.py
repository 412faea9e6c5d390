"""Stores of facts, as check.FactsStore wants them. None of them judges or ages facts."""
