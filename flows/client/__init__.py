"""A parcel of rows as requests, what comes back of each, and what that means for each row."""
