"""Causes every failure that can be thought of on the practice ring, with the bot as a process, and judges what came.

`tests/run chaos [--seed N] [--all] [--only CASE]`. cases.py and others_cases.py say what is caused; kills, cuts,
slacks, rings and others cause it; act.py plays one scene; judges.py, safety.py and threads.py have the laws, judged by
what the hosts' own log, the journal and the Slack thread say.
"""
