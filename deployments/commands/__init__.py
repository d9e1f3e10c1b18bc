"""The commands of `rowrelay`, one family a module; `deployments.commands.cli` gives them their names and help."""
