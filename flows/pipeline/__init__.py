"""What a pipeline is: its definition in YAML, and all that can be wrong with one."""
