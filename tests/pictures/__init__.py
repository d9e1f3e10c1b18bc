"""The pictures of the docs, taken anew: no tests."""
