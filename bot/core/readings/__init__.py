"""What is read from hosts: the probes, their outputs as values, and what is expected of them."""
