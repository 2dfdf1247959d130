"""Hosts: which there are, what is sent to them, who they prove to be, how a command is fenced."""
