"""A pretend Dovecot backend: doveadm's service and mail commands, and its greetings.

Output as of Dovecot 2.3.19.1: src/doveadm/doveadm-master.c, doveadm-mail-mailbox-status.c, doveadm-print-*.c.
"""

import fnmatch
import json
from collections import Counter
from collections.abc import Callable

from bot.practice.machine.files import Disk
from bot.practice.ring.doveconf import Doveconf
from bot.practice.ring.fixtures import CONFIG, METACACHE
from bot.practice.ring.systemd import Unit
from bot.practice.values import Answer, Call, failed, succeeded

VERSION = "2.3.19.1 (9b53102964)"
_SERVICES = ("anvil", "auth", "config", "doveadm", "imap", "imap-login", "lmtp", "log", "stats")
_STATUS = {
    "process_count": "1",
    "process_avail": "0",
    "process_limit": "500",
    "client_limit": "1",
    "throttle_secs": "0",
    "exit_failure_last": "0",
    "exit_failures_in_sec": "0",
    "last_drop_warning": "0",
    "listen_pending": "n",
}
_CAPABILITY = "IMAP4rev1 SASL-IR LOGIN-REFERRALS ID ENABLE IDLE LITERAL+ STARTTLS AUTH=PLAIN AUTH=LOGIN"


class Dovecot:
    """Dovecot on one backend.

    Users have no mailboxes of their own: `mailboxes` (number of mails by folder) is everyone's, and empty in
    every folder when `mailboxes_empty` is set. `users` are those that exist; `never_written_to` has no mailbox yet.
    """

    def __init__(self, *, name: str, disk: Disk, unit: Unit, users: set[str]) -> None:
        """It runs as `unit` says, which it also refuses to start when its configuration is broken."""
        self.doveconf = Doveconf(disk, VERSION)
        self.users = users
        self.never_written_to: set[str] = set()
        self.mailboxes = {"INBOX": 12, "Sent": 3, "Drafts": 0}
        self.mailboxes_empty = False
        self.start_fails = False
        self.stopped_services: set[str] = set()
        self.past_directors: dict[str, int] = {}
        """How many sessions each user has who came past the directors; a stop cuts them."""
        self.through_directors: Callable[[], list[str]] = list
        self._name = name
        self._disk = disk
        self._unit = unit
        unit.may_start = self._may_start

    @property
    def serving(self) -> bool:
        """Whether it is active."""
        return self._unit.active == "active"

    def _may_start(self) -> bool:
        return not self.start_fails and self.doveconf.error_in(f"{CONFIG}/dovecot.conf") is None

    # doveadm

    def doveadm(self, call: Call) -> Answer:
        """Answer doveadm's service, reload and mail commands."""
        # Without a running Dovecot to tell it the settings, doveadm reads the files itself.
        if not self.serving and (error := self.doveconf.error_in(f"{CONFIG}/dovecot.conf")) is not None:
            if self._disk.read(f"{CONFIG}/dovecot.conf") is not None:
                return failed(89, error)
            missing = f"stat({CONFIG}/dovecot.conf) failed: No such file or directory"
            return failed(75, f"Fatal: Error reading configuration: {missing}")
        match call.args:
            case ("-f", "json", "service", "status", *names):
                return self._service_status(names)
            case ("service", "stop", _, *_):
                return self._service_stop(call.args[2:])
            case ("reload",):
                return self._reload()
            case ("mailbox", "list", "-u", user):
                return self._mail(user, "".join(f"{name}\n" for name in self.mailboxes))
            case ("mailbox", "status", "-u", user, "messages", *masks) if masks:
                return self._mail(user, self._mailbox_status(user, masks))
            case ("fetch", "-u", user, "text", "all"):
                return self._mail(user, self._fetched(user))
            case _:
                return self._of_the_move(call)

    def _of_the_move(self, call: Call) -> Answer:
        match call.args:
            case ("metacache", "flushall") if self._disk.look(METACACHE) is not None:
                return Answer() if self.serving else _not_running("net_connect_unix(/run/dovecot/metacache) failed")
            case ("-f", "tab", "who"):
                return self._who()
            case _:
                return failed(64, "usage: doveadm [-Dv] [-f <formatter>] <command> [<args>]")

    def _who(self) -> Answer:
        if not self.serving:
            return _not_running("net_connect_unix(/run/dovecot/anvil) failed: Connection refused")
        sessions = Counter(self.through_directors()) + Counter(self.past_directors)
        rows = (f"{user}\t{count}\timap\t(1)\t(192.0.2.200)\n" for user, count in sessions.items())
        return succeeded("username\t#\tproto\t(pids)\t(ips)\n" + "".join(rows))

    def _service_status(self, names: list[str]) -> Answer:
        if not self.serving:
            return _not_running("net_connect_unix(/run/dovecot/master) failed: Connection refused")
        rows = [
            {
                "name": name,
                **_STATUS,
                **({"process_count": "0"} if name in self.stopped_services else {}),
                "listening": "n" if name in self.stopped_services else "y",
                "doveadm_stop": "y" if name in self.stopped_services else "n",
                "process_total": "1",
            }
            for name in _SERVICES
            if not names or name in names
        ]
        return succeeded(json.dumps(rows, separators=(",", ":")))

    def _service_stop(self, names: tuple[str, ...]) -> Answer:
        if not self.serving:
            return _not_running("net_connect_unix(/run/dovecot/master) failed: Connection refused")
        for name in names:
            if name not in _SERVICES:
                return failed(68, f"Error: Unknown service: {name}")
        self.stopped_services.update(names)
        return Answer()

    def _reload(self) -> Answer:
        if not self.serving:
            return _not_running("Dovecot is not running (read from /run/dovecot/master.pid)")
        self.stopped_services.clear()
        return Answer()

    def _mail(self, user: str, text: str) -> Answer:
        if not self.serving:
            lookup = f"userdb lookup({user}): connect(/run/dovecot/auth-userdb) failed: Connection refused"
            return failed(
                75,
                f"doveadm({user})<1><>: Error: auth-master: {lookup}",
                f"doveadm({user}): Error: User lookup failed: Internal error occurred."
                " Refer to server log for more information.",
            )
        if user not in self.users:
            return failed(67, f"doveadm({user}): Error: User doesn't exist")
        return succeeded(text)

    def _count(self, mailbox: str) -> int:
        return 0 if self.mailboxes_empty else self.mailboxes[mailbox]

    def _mailbox_status(self, user: str, masks: list[str]) -> str:
        """Only folders that are really there: those that are made when first used are listed, but have no status."""
        if user in self.never_written_to:
            return ""
        names = [name for name in self.mailboxes if any(fnmatch.fnmatchcase(name, mask) for mask in masks)]
        return "".join(f"{name} messages={self._count(name)}\n" for name in names)

    def _fetched(self, user: str) -> str:
        if user in self.never_written_to:
            return ""
        # The pager formatter puts no form feed between records whose only field is a stream, as text is.
        return "".join(
            f"text:\nFrom: practice@mail.example\r\nTo: {user}\r\nSubject: {name} {number}\r\n\r\nHello.\r\n"
            for name in self.mailboxes
            for number in range(1, self._count(name) + 1)
        )

    def greeting(self, ip: str, port: str) -> Answer:
        """The first line that a port says, as bash's /dev/tcp and `head -n 1` show it."""
        if self.serving and port == "143":
            return succeeded(f"* OK [CAPABILITY {_CAPABILITY}] Dovecot (Debian) ready.\r\n")
        if self.serving and port == "24" and "lmtp" not in self.stopped_services:
            return succeeded(f"220 {self._name} Dovecot ready.\r\n")
        # bash calls itself by its $0, which is the address here.
        return failed(
            1,
            f"{ip}: connect: Connection refused",
            f"{ip}: line 1: /dev/tcp/{ip}/{port}: Connection refused",
        )


def dovecot(version: str, call: Call) -> Answer:
    """`dovecot --version`."""
    return succeeded(f"{version}\n") if call.args == ("--version",) else failed(64, "Usage: dovecot --version")


def _not_running(why: str) -> Answer:
    return failed(75, f"Fatal: {why}")
