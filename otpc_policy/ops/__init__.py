"""What both programs need to be run: logs, the pages of the operations port, keys that rotate."""
