"""The parts of `turn_overhead.py`: a fake service, the two sides that talk to it, and the processes they run in."""
