"""What people touch: command line, configuration."""
