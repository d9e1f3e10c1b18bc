"""Data folders of earlier versions, and what makes one."""
