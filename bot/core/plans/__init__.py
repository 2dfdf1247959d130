"""From a procedure file and what somebody asked for to a plan of literal commands, and the laws for it."""
