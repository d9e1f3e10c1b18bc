"""What lets requests in: tokens that are fetched and renewed, sessions, signatures; one token for all processes."""
