#!/usr/bin/env bash
# Lays out what the image has besides its base: `deploy/docker/root.sh BINARY DIRECTORY`. The binary's libraries and loader
# are those that ldd(1) finds here, so that the base needs none.
set -euo pipefail
binary=$1 root=$2
here=$(dirname "$0")

install -D -m 0755 "$binary" "$root/usr/bin/tallyring"
install -D -m 0644 "$here/tallyring.conf" "$root/etc/tallyring/tallyring.conf"
install -d -m 0700 "$root/data"
# "name => /path (address)", and the loader as "/path (address)"; linux-vdso has no path.
ldd "$binary" | awk '$2 == "=>" { print $3 } $1 ~ /^\// { print $1 }' | while read -r library; do
    install -D -m 0755 "$library" "$root$library"
done
