"""The microkernel: what exists, who brought it, and how long it lives."""
