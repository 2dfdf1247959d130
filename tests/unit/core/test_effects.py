"""What a command does, read from its words alone: the gates and the guards stand on this table."""

from __future__ import annotations

from bot.core.plans.effects import Effect, disturbs, effects
from tests.build import plan

E = Effect


def shipped() -> dict[str, frozenset[Effect]]:
    """By step of the shipped procedure, what its command does; and its undo, as `undo NAME`."""
    steps = plan(move_first=True).changes
    found = {step.name: effects(step.action.command.text) for step in steps}
    undone = {f"undo {step.name}": effects(step.undo.command.text) for step in steps if step.undo}
    return found | undone


def test_the_commands_of_the_shipped_procedure_do_what_their_steps_say() -> None:
    """One that is read wrongly runs without its approval or its guards."""
    assert {step: does for step, does in shipped().items() if does} == {
        "set-vhosts-to-zero": {E.TAKES_VHOSTS},
        "stop-lmtp": {E.STOP},
        "stop-dovecot": {E.STOP, E.STOP_DOVECOT},
        "director-down": {E.DOWN},
        "move-users": {E.FLUSH},
        "flush-users": {E.FLUSH},
        "mask-dovecot": {E.MASK},
        "install-packages": {E.INSTALL},
        "install-config": {E.CONFIGURE},
        "remove-old-metacache-database": {E.DELETE},
        "clean-metacache": {E.DELETE},
        "unmask-dovecot": {E.UNMASK},
        "start-dovecot": {E.START_DOVECOT},
        "set-vhosts-back": {E.RESTORE},
        "director-up": {E.RESTORE},
        "undo set-vhosts-to-zero": {E.RESTORE},
        "undo stop-dovecot": {E.START_DOVECOT},
        "undo director-down": {E.RESTORE},
        "undo mask-dovecot": {E.UNMASK},
        "undo install-packages": {E.INSTALL},
        "undo install-config": {E.CONFIGURE},
        "undo unmask-dovecot": {E.MASK},
        "undo start-dovecot": {E.STOP, E.STOP_DOVECOT},
    }


READ = {
    "systemctl --no-block stop dovecot.service": {E.STOP, E.STOP_DOVECOT},
    "sh -c 'systemctl stop dovecot'": {E.STOP, E.STOP_DOVECOT},
    "systemctl stop nginx dovecot": {E.STOP, E.STOP_DOVECOT},
    "systemctl stop dovecot-exporter": {E.STOP},
    "doveadm -v stop": {E.STOP, E.STOP_DOVECOT},
    "dovecot stop": {E.STOP, E.STOP_DOVECOT},
    "service dovecot stop": {E.STOP, E.STOP_DOVECOT},
    "doveadm service stop imap": {E.STOP},
    "systemctl disable --now dovecot": {E.STOP, E.STOP_DOVECOT},
    "systemctl --now disable nginx": {E.STOP},
    "iptables -I INPUT -p tcp --dport 143 -j DROP": {E.STOP},
    "fuser -k 143/tcp": {E.STOP},
    "ss -K dport = 143": {E.STOP},
    "ss -tn": set(),
    "systemctl unmask --runtime dovecot": {E.UNMASK},
    "systemctl mask --runtime dovecot": {E.MASK},
    "systemctl --runtime mask dovecot.service": {E.MASK},
    "systemctl mask --now dovecot": {E.STOP, E.MASK},
    "systemctl --now mask dovecot": {E.STOP, E.MASK},
    "systemctl mask nginx": set(),
    "systemctl rescue": {E.STOP},
    "systemctl emergency": {E.STOP},
    "systemctl freeze dovecot": {E.STOP},
    "deb-systemd-invoke stop dovecot.service": {E.STOP},
    "start-stop-daemon --stop --name dovecot": {E.STOP},
    "sh -c 'sync; reboot'": {E.STOP},
    "apt-get --yes remove dovecot-core": {E.STOP},
    "dpkg -P dovecot-core": {E.STOP},
    "systemctl --quiet start dovecot.service": {E.START_DOVECOT},
    "systemctl restart dovecot": {E.STOP, E.START_DOVECOT},
    "systemctl reload-or-restart dovecot": {E.STOP, E.START_DOVECOT},
    "systemctl enable --now dovecot": {E.START_DOVECOT},
    "service dovecot start": {E.START_DOVECOT},
    "/etc/init.d/dovecot start": {E.START_DOVECOT},
    "systemctl start nginx": set(),
    "systemctl show --property=ActiveState dovecot": set(),
    "doveadm -v director update 192.0.2.13 0": {E.TAKES_VHOSTS},
    "doveadm director update 192.0.2.13 00": {E.TAKES_VHOSTS},
    "doveadm director update 192.0.2.13 10": {E.RESTORE},
    "doveadm director update 192.0.2.13 01": {E.RESTORE},
    "doveadm\tdirector  update 192.0.2.13\n0": {E.TAKES_VHOSTS},
    "doveadm -v director down 192.0.2.13": {E.DOWN},
    "doveadm -v director up 192.0.2.13": {E.RESTORE},
    "doveadm director flush 192.0.2.13": {E.FLUSH},
    "doveadm director status": set(),
    "/bin/rm -f /var/lib/dovecot/metacache/metacache-users1": {E.DELETE},
    "find /var/dovecot/vmail -xdev -mindepth 1 -exec rm {} +": {E.DELETE},
    "sh -c 'unlink /var/dovecot/vmail/x'": {E.DELETE},
    "sh -c 'find /var/dovecot/vmail -type f -print0 | xargs -0 rm'": {E.DELETE},
    "mv /var/dovecot/vmail /var/dovecot/vmail.before": {E.DELETE},
    "truncate -s 0 /var/lib/dovecot/metacache/x": {E.DELETE},
    "mv /root/a /root/b": set(),
    "rsync -a --delete /empty/ /var/dovecot/vmail/": {E.DELETE},
    "apt-get --yes --no-remove -o Dpkg::Options::=--force-confold install dovecot-core=1": {E.INSTALL},
    "apt-get --yes dist-upgrade": {E.INSTALL},
    "dpkg -i /root/dovecot-core.deb": {E.INSTALL},
    "mv -T /etc/dovecot.r1.proposed /etc/dovecot": {E.CONFIGURE},
    "sh -c 'cp /root/x.conf /etc/dovecot/conf.d/'": {E.CONFIGURE},
    "tar --extract --directory=/etc/dovecot.r1.proposed --file=-": set(),
    "doveadm reload": set(),
}
"""Commands, and what they do."""


def test_a_command_is_read_whatever_its_spelling() -> None:
    assert {command: effects(command) for command in READ} == READ


DISTURBS = {
    "systemctl stop puppet": False,
    "systemctl stop puppet.timer monit": False,
    "systemctl --no-block stop puppet": False,
    "systemctl mask --now puppet": False,
    "systemctl disable --now dovecot-exporter": False,
    "sh -c 'systemctl stop puppet; systemctl stop monit || true'": False,
    "service puppet stop": False,
    "systemctl start puppet": False,
    "systemctl stop dovecot": True,
    "systemctl stop dovecot.socket": True,
    "systemctl stop dovecot@main": True,
    "systemctl stop puppet dovecot": True,
    "systemctl stop puppet 'dovecot*'": True,
    "systemctl stop $(cat /root/units)": True,
    "sh -c 'systemctl stop puppet; doveadm service stop lmtp'": True,
    "sh -c 'systemctl stop puppet; reboot'": True,
    "systemctl disable --now dovecot": True,
    "systemctl isolate rescue.target": True,
    "service dovecot stop": True,
    "doveadm service stop lmtp": True,
    "pkill dovecot": True,
}
"""Commands, and whether users notice them."""


def test_other_units_that_are_stopped_by_name_disturb_nobody_and_whatever_else_stops_does() -> None:
    """The guards of the first stop are those of the first that users notice."""
    assert {command: disturbs(command) for command in DISTURBS} == DISTURBS


def test_users_notice_a_stop_and_nothing_else() -> None:
    """On this hangs which guards are asked: all of them before the first command that disturbs."""
    assert {step for step, does in shipped().items() if does & {E.STOP, E.FLUSH}} == {
        "stop-lmtp",
        "stop-dovecot",
        "move-users",
        "flush-users",
        "undo start-dovecot",
    }
    assert Effect.STOP not in effects("doveadm director flush 192.0.2.13"), "they are moved from a backend that serves"
    assert Effect.STOP not in effects("doveadm director down 192.0.2.13")


def test_only_what_gives_users_again_restores() -> None:
    assert Effect.RESTORE in effects("doveadm director up 192.0.2.13")
    assert Effect.RESTORE not in effects("systemctl start dovecot")
