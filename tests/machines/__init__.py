"""A lane: servers, workers and machines that start, end and die."""
