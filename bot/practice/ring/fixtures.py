"""What lies on a pretend backend's disk before anything is done to it."""

from bot.practice.machine.files import Disk, Link
from bot.practice.values import Now

CONFIG = "/etc/dovecot"
METACACHE = "/var/lib/dovecot/metacache"
VMAIL = "/var/dovecot/vmail"
MOUNTS = "/proc/self/mountinfo"

_DOVECOT_CONF = """\
# Practice backend: a small configuration in the usual shape.
protocols = imap lmtp
listen = *
!include conf.d/*.conf
!include_try local.conf
"""

_CONF_D = {
    "10-auth.conf": "auth_mechanisms = plain login\ndisable_plaintext_auth = yes\n",
    "10-mail.conf": "mail_location = obox:%u:INDEX=~/:CONTROL=~/\nmail_uid = vmail\nmail_gid = vmail\n",
    "10-master.conf": "default_process_limit = 500\nservice lmtp {\n  inet_listener lmtp {\n    port = 24\n  }\n}\n",
    "20-lmtp.conf": "lmtp_save_to_detail_mailbox = no\n",
    "90-metacache.conf": "metacache_max_space = 200G\nmetacache_upload_interval = 5min\n",
}


def backend_disk(now: Now, *, metacache: bool) -> Disk:
    """A backend's disk: its configuration and, if it has one, its metacache."""
    disk = Disk(now)
    disk.make_directory("/tmp", mode=0o777)  # noqa: S108  a path on the pretend disk
    disk.write(f"{CONFIG}/dovecot.conf", _DOVECOT_CONF)
    disk.write(f"{CONFIG}/local.conf", "login_greeting = Dovecot (Debian) ready.\n")
    disk.write(f"{CONFIG}/dovecot-sql.conf.ext", "driver = sqlite\n", mode=0o640, group="dovecot")
    for name, text in _CONF_D.items():
        disk.write(f"{CONFIG}/conf.d/{name}", text)
    disk.place(f"{CONFIG}/conf.d/99-local.conf.ext", Link(target="../local.conf"))
    disk.make_directory(f"{CONFIG}/private", mode=0o700)
    disk.write(f"{CONFIG}/private/passphrase", "practice only\n", mode=0o600)
    disk.write(MOUNTS, "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n")
    if metacache:
        _fill_metacache(disk)
    return disk


def _fill_metacache(disk: Disk) -> None:
    for number in range(1, 5):
        disk.write(f"{METACACHE}/metacache-users-{number}", f"SQLite format 3, part {number}\n", mode=0o600)
    disk.write(f"{METACACHE}/instance.id", "this file is none of the old databases: it must survive\n")
    disk.make_directory(VMAIL, mode=0o700)
    for number in range(1, 41):
        disk.write(f"{VMAIL}/user-{number:02}/dovecot.index.cache", b"\0" * 16, mode=0o600)
    disk.write(f"{VMAIL}/user-01/mailboxes/INBOX/dbox-Mails/dovecot.index", b"\0" * 16, mode=0o600)
    disk.write(f"{VMAIL}/.tracking", "a dot file, which a * leaves behind\n")
    disk.write(f"{VMAIL}/.lock.d/owner", "12\n")
