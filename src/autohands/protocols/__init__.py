"""Data and interfaces only: the words that every other part speaks."""
