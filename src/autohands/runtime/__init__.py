"""What happens inside a run: ask a model, run tools, until the work is done."""
