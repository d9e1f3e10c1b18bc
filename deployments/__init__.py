"""What runs where: pipeline definitions, the embedded stack, served deployments, the stand-in API."""
