"""A run's rows, a hundred at a time: asked for, found, put in order."""
