"""The house itself: docs, packages, what is installed, what nobody may do."""
