"""Only for containers: secrets into the environment, health checks, what the compose file mounts."""
