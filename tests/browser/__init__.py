"""A lane: the dashboard as a person uses it."""
