"""The commands of `rowrelay`, one family a module; `flows.cli` gives them their names and help."""
