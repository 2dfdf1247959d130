"""The engine on the practice ring without SSH, in virtual time: a whole run costs milliseconds.

`play.py` plays one run, `attacks.py` says what is put in at a call of a port, `judges.py` holds the laws against what
the hosts themselves wrote down, `verdicts.py` plays many cases. `python -m tests.harness --all` puts everything in
everywhere.
"""
