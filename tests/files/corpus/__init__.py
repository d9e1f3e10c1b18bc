"""Files in the shapes in which people hold them, each with what a person means by it."""
