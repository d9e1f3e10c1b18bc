"""What our flows are called in Prefect. Nothing is imported here: pages that never start a flow know them, too."""

DELIVER = "deliver"  # one file through one pipeline
INBOX = "inbox"  # each new file of a folder or address
RECOVER = "recover"  # takes up again what crashed
THAT_DELIVER = (DELIVER, INBOX)
