#!/bin/bash
# upgrade.sh SSH_CONFIG DIRECTOR BACKEND IP: what procedures/dovecot-upgrade.yaml does to a ring in runbook order, over
# OpenSSH with shared connections. It reads nothing back: a command that fails ends it, no more.
set -euo pipefail
config=$1 director=$2 backend=$3 ip=$4

shared=$(mktemp -d)
options=(-F "$config" -o ControlMaster=auto -o ControlPath="$shared/%n" -o ControlPersist=60)
# ssh joins its arguments to one line, which a shell reads there.
on() { ssh "${options[@]}" "$1" sudo -n "${@:2}"; }
close() {
    for host in "$director" "$backend"; do ssh "${options[@]}" -O exit "$host" 2>/dev/null || true; done
    rm -rf "$shared"
}
trap close EXIT

on "$director" doveadm director update "$ip" 0
on "$backend" doveadm service stop lmtp
on "$backend" systemctl stop dovecot
on "$director" doveadm director down "$ip"
on "$director" doveadm director flush "$ip"
on "$backend" systemctl mask --runtime dovecot
on "$backend" "sh -c 'rm -f /var/lib/dovecot/metacache/metacache-users*'"
on "$backend" find /var/dovecot/vmail -xdev -mindepth 1 -delete
on "$backend" systemctl unmask --runtime dovecot
on "$backend" systemctl start dovecot
on "$director" doveadm director update "$ip" 100
on "$director" doveadm director up "$ip"
