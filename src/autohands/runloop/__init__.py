"""When things run: what waits, and the loop that takes it up."""
