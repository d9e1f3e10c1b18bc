"""What the pages are drawn of."""
