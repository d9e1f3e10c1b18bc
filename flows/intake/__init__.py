"""Files that come in by themselves: found, told apart by content, taken once, put away."""
