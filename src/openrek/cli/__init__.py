"""The command line: `openrek`, one module a group of commands."""
