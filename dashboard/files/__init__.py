"""Files that come in: uploads, what lies in an inbox, a file to start from."""
