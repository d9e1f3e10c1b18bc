"""What runs flows: on this machine or in a pool, how it ends, and who looks for runs that died."""
