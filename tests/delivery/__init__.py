"""Whole deliveries and inboxes, without Prefect."""
