"""What the journal does, measured: rates, delays, crowds."""
