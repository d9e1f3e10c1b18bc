"""One row, one request, one verdict."""
