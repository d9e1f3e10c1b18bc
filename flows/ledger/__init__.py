"""What became of every row, in Redis: written, read, kept through an outage, taken home."""
