"""The check: text in; typed rows out, and every reason against the others."""
