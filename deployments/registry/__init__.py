"""What Prefect is told: deployments with their schedules, automations, notifications."""
