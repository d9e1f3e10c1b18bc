"""A lane: the dashboard as a process, and what is thrown at it."""
