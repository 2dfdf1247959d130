"""A real ring on one machine, for tests: two directors and three backends, none of it pretended.

Each host has systemd as PID 1, a real sshd, a real sudo and a real dovecot; the network is the machine's own,
and the hosts differ by their loopback address. See `ring.Lab`; `tests/lab/packages` installs what it is made of.
Only the metacache is a fixture, since Debian's dovecot has none.
"""

from tests.lab.files import Host
from tests.lab.keep import LabError, wait_for
from tests.lab.needs import missing
from tests.lab.ring import Lab
from tests.lab.said import Ran

__all__ = ["Host", "Lab", "LabError", "Ran", "missing", "wait_for"]
