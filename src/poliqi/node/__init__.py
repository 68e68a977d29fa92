"""Real processes: the only place that starts tasks and processes."""
