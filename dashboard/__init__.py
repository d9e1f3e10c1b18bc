"""The pages for the person who drops a file, and the HTTP API for the programs that do the same."""
