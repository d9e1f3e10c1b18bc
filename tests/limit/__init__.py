"""The limit, as it is meant and as a receiver counts it."""
