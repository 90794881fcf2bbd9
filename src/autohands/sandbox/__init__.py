"""Starting processes: clean environment, limits, bounded output, no survivors; and the jobs that sessions keep."""
