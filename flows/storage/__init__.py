"""Where files lie that outlive a process, and which of them a run may read."""
