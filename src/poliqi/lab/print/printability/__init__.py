"""What would keep a design from being printed, washed out or perfused: each flaw with its place."""
