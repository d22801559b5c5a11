#!/usr/bin/env bash
# Looks at everything in deploy/ with the tools that know it: `deploy/check.sh PROGRAM`, in a minute. PROGRAM is a built server
# with the engine uring; PYTHON an interpreter with the packages below; OUTPUT a directory to leave files in; DOCKER_SOURCE where
# the Debian package golang-github-docker-docker-dev was unpacked, which has Docker's default seccomp profile.
#
#   apt-get install systemd prometheus redis-tools shellcheck openssl curl libseccomp2 util-linux runc git busybox-static
#   apt-get download golang-github-docker-docker-dev && dpkg-deb -x golang-github-docker-docker-dev_*.deb docker
#   pip install -r deploy/checks/requirements.txt      # in the environment of PYTHON
#   cargo install cargo-deb
#
# What is missing is a failure: nothing is left out. Ends with a line of the form of cargo's.
set -euo pipefail
cd "$(dirname "$0")/.."

program=$(realpath "$1")
python=${PYTHON:-python3}
output=${OUTPUT:-target/deployment}
mkdir -p "$output"
output=$(realpath "$output")
readonly program python output
readonly checks=deploy/checks unit=deploy/systemd/tallyring.service
# Exposure that the unit may have, in tenths: systemd-analyze(1), "security".
readonly most_exposure=15

scratch=$(mktemp -d)
server=
cleanup() {
    if [[ -n $server ]]; then
        kill -KILL "$server" 2>/dev/null || true
    fi
    rm -rf "$scratch"
}
trap cleanup EXIT

passed=0
failed=0

# check NAME COMMAND…: one check. Those after a failed one are made all the same.
check() {
    local name=$1 status=0
    shift
    # In a subshell of its own with `set -e`: a condition would switch that off.
    set +e
    (set -e; "$@") >"$scratch/output" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
        passed=$((passed + 1))
        printf 'ok      %s\n' "$name"
    else
        failed=$((failed + 1))
        printf 'FAILED  %s\n' "$name"
    fi
    sed 's/^/        /' "$scratch/output"
}

# --- Tools

tools() {
    local tool missing=()
    for tool in systemd-analyze promtool shellcheck openssl curl redis-cli setpriv runc busybox dpkg-deb cargo cargo-deb \
        "$python"; do
        command -v "$tool" >/dev/null || missing+=("$tool")
    done
    "$python" -c 'import yaml, kubernetes_validate, compose_spec'
    hadolint --version
    ((${#missing[@]} == 0)) || { echo "missing: ${missing[*]}"; return 1; }
}

# The linter of Dockerfiles comes with the Python packages.
hadolint() {
    "$(dirname "$(command -v "$python")")/hadolint" "$@"
}

# --- Scripts

# Everything that is tracked and says that a shell reads it, and the maintainer scripts of the package.
shell_scripts() {
    mapfile -t scripts < <(git grep -lIE '^#! *(/usr)?/bin/(env +)?(ba|da)?sh' -- . | sort)
    ((${#scripts[@]} >= 6)) || { echo "only ${#scripts[@]} scripts were found"; return 1; }
    shellcheck --external-sources "${scripts[@]}"
    echo "${#scripts[@]} scripts"
}

python_scripts() {
    "$python" -c 'import ast, sys
for name in sys.argv[1:]:
    ast.parse(open(name, encoding="utf-8").read(), name)' deploy/docker/*.py "$checks"/*.py
}

# --- The package, and the unit in it

package() {
    rm -rf "$output/package" "$output"/*.deb
    # cargo-deb takes the program from where cargo puts it.
    install -D -m 755 "$program" "$scratch/target/release/tallyring"
    CARGO_TARGET_DIR=$scratch/target cargo deb --quiet --offline --locked --no-build --no-strip --output "$output/"
    dpkg-deb --raw-extract "$output"/*.deb "$output/package"
    local root=$output/package path
    for path in usr/bin/tallyring usr/lib/systemd/system/tallyring.service usr/lib/sysusers.d/tallyring.conf \
        usr/lib/tmpfiles.d/tallyring.conf etc/tallyring/tallyring.conf usr/share/doc/tallyring/runbook.md \
        usr/share/doc/tallyring/kernel-notes.md usr/share/doc/tallyring/LICENSE-APACHE usr/share/doc/tallyring/LICENSE-MIT \
        usr/share/doc/tallyring/examples/tallyring.conf usr/share/doc/tallyring/examples/credentials.conf; do
        [[ -e $root/$path || -e $root/${path/usr\/lib\/systemd/lib/systemd} ]] || { echo "the package lacks $path"; return 1; }
    done
    grep -qx /etc/tallyring/tallyring.conf "$root/DEBIAN/conffiles"
    for path in postinst prerm postrm; do
        # Written by us and by cargo-deb together.
        sh -n "$root/DEBIAN/$path"
        grep -q 'deb-systemd-\|systemctl' "$root/DEBIAN/$path" || { echo "$path does not know the unit"; return 1; }
        if grep -q '#DEBHELPER#' "$root/DEBIAN/$path"; then echo "$path was not completed"; return 1; fi
    done
    # The scripts name files by their last part; these have to be the package's.
    local kind name
    while read -r kind name; do
        [[ -e $root/usr/lib/$kind.d/$name ]] || { echo "postinst wants $kind.d/$name, which the package lacks"; return 1; }
    done < <(sed -nE 's/^[^#]*systemd-(sysusers|tmpfiles) (.*[ \/])?([a-z]+\.conf).*/\1 \3/p' "$root/DEBIAN/postinst")
    dpkg-deb --field "$output"/*.deb Package Version Depends Installed-Size
}

# A root for systemd's tools: the package on top of this machine's own units.
unit_root() {
    local root=$scratch/root
    mkdir -p "$root/usr/lib/systemd" "$root/usr/bin" "$root/etc/systemd/system"
    cp -a /lib/systemd/system "$root/usr/lib/systemd/"
    ln -s usr/lib "$root/lib"
    ln -s usr/bin "$root/bin"
    cp -L /bin/kill "$root/usr/bin/"
    install -m 755 "$program" "$root/usr/bin/tallyring"
    cp "$unit" "$root/usr/lib/systemd/system/"
}

# The unit alone, and with each drop-in.
unit_is_well_formed() {
    local root=$scratch/root dropin told
    for dropin in none deploy/systemd/tallyring.service.d/*.conf; do
        rm -rf "$root/etc/systemd/system/tallyring.service.d"
        if [[ $dropin != none ]]; then
            install -D -m 644 "$dropin" "$root/etc/systemd/system/tallyring.service.d/$(basename "$dropin")"
        fi
        # It ends with 0 where it has only warnings; there are to be none. Of other units it says this and that.
        told=$(systemd-analyze verify --root="$root" --man=no --recursive-errors=no tallyring.service 2>&1) ||
            { echo "$dropin: $told"; return 1; }
        if grep -i tallyring <<<"$told"; then echo "$dropin"; return 1; fi
    done
    rm -rf "$root/etc/systemd/system/tallyring.service.d"
}

unit_is_hardened() {
    local told exposure
    told=$(systemd-analyze security --no-pager --offline=true --root="$scratch/root" --threshold="$most_exposure" \
        tallyring.service) || { echo "$told"; return 1; }
    exposure=$(sed -n 's/.*Overall exposure level for tallyring.service: \([0-9.]*\).*/\1/p' <<<"$told")
    [[ -n $exposure ]] || { echo "no exposure in what systemd-analyze says"; return 1; }
    echo "exposure $exposure"
    awk -v is="$exposure" -v most="$most_exposure" 'BEGIN { exit !(is * 10 <= most) }'
}

users_and_directories() {
    local root=$scratch/users
    mkdir -p "$root/etc/tallyring"
    systemd-sysusers --root="$root" "$PWD/deploy/systemd/sysusers.d/tallyring.conf"
    grep -q '^tallyring:' "$root/etc/passwd"
    systemd-tmpfiles --root="$root" --create "$PWD/deploy/systemd/tmpfiles.d/tallyring.conf"
    [[ $(stat -c %a "$root/etc/tallyring/credentials") == 700 ]]
}

# --- Configurations

# Stand-ins for secrets, where --check-config looks for them.
secrets() {
    mkdir -p "$scratch/secrets"
    openssl rand -hex 32 >"$scratch/secrets/requirepass"
    openssl rand -hex 32 >"$scratch/secrets/admin-token"
    openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=localhost -keyout "$scratch/secrets/tls-key" \
        -out "$scratch/secrets/tls-cert" 2>/dev/null
    cp "$scratch/secrets/tls-cert" "$scratch/secrets/tls-ca"
}

# Every directive of every configuration file, those in comments of the annotated one too.
configurations() {
    local file text
    "$python" "$checks"/manifests.py configurations "$scratch/configurations"
    "$python" "$checks/manifests.py" directives "$program" >"$scratch/configurations/deploy-tallyring.conf-comments"
    for file in deploy/tallyring.conf deploy/*/tallyring.conf; do
        cp "$file" "$scratch/configurations/${file//\//-}"
    done
    for file in "$scratch"/configurations/*; do
        text=$(sed -e "s,/run/secrets/tallyring/,$scratch/secrets/," -e "s,/etc/tallyring/server.crt,$scratch/secrets/tls-cert," \
            -e "s,/etc/tallyring/server.key,$scratch/secrets/tls-key," -e "s,/etc/tallyring/ca.crt,$scratch/secrets/tls-ca," \
            "$file")
        "$program" --check-config - <<<"$text" || { echo "${file##*/}"; return 1; }
    done
}

# Every command line: of the unit and its drop-ins, of compose.yaml, of the StatefulSet.
command_lines() {
    local line
    "$python" "$checks"/manifests.py commands >"$scratch/commands"
    (($(wc -l <"$scratch/commands") >= 4)) || { cat "$scratch/commands"; return 1; }
    while read -r line; do
        line=${line//%d/$scratch/secrets}
        line=${line//\/run\/secrets\//$scratch/secrets/}
        # No globs: `--admin-bind *` means what it says.
        set -f
        # shellcheck disable=SC2086 # words of a command line
        "$program" $line --check-config || { echo "$line"; return 1; }
        set +f
    done <"$scratch/commands"
}

# --- The server under the filters that these files give it

# Two ports that nobody has, for clients and for the admin interface.
ports() {
    "$python" -c 'import socket
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(it.getsockname()[1] for it in sockets))'
}

# client PORT COMMAND…: a client that does not wait for ever.
client() {
    timeout 10 redis-cli -p "$@"
}

# serves PORT ADMIN-PORT ENGINE [COMMAND…]: does the server whose process is $server serve, on that engine, and end in order?
# The command is run while it serves.
serves() {
    local port=$1 admin=$2 engine=$3 until=$((SECONDS + 10)) said
    shift 3
    until [[ $(curl -s --max-time 2 -o /dev/null -w '%{http_code}' "http://127.0.0.1:$admin/readyz") == 200 ]]; do
        if ! kill -0 "$server" 2>/dev/null || ((SECONDS > until)); then
            cat "$scratch/log"
            return 1
        fi
        sleep 0.05
    done
    [[ $(client "$port" incr counter) == 1 ]]
    [[ $(client "$port" bgsave) == *started* ]]
    # Replies then wait for a sync of the journal.
    [[ $(client "$port" config set appendfsync always) == OK ]]
    [[ $(client "$port" incr counter) == 2 ]]
    (($# == 0)) || "$@"
    said=$(curl -s --max-time 10 "http://127.0.0.1:$admin/metrics" | sed -n 's/^tallyring_build_info{.*engine="\([^"]*\)".*/\1/p')
    kill -TERM "$server"
    wait "$server" || { cat "$scratch/log"; return 1; }
    trap - EXIT
    echo "engine $said"
    [[ $said == "$engine" ]] || { cat "$scratch/log"; return 1; }
}

# serves_under PROFILE ENGINE: the same under a seccomp profile, without capabilities and as another user than root.
serves_under() {
    local profile=$1 engine=$2 port admin data as=()
    read -r port admin < <(ports)
    data=$(mktemp -d "$scratch/data.XXXXXX")
    # Where that user reads them.
    chmod 755 "$scratch"
    chmod 644 "$profile"
    install -m 755 "$program" "$scratch/program"
    install -m 755 "$checks/sandbox.py" "$scratch/sandbox.py"
    if ((EUID == 0)); then
        chown 6379:6379 "$data"
        as=(setpriv --reuid 6379 --regid 6379 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs)
    fi
    # One worker: where this machine lets little memory be locked, that is enough for it. The interpreter is the system's,
    # which everybody may run.
    "${as[@]}" /usr/bin/python3 "$scratch/sandbox.py" "$profile" "$scratch/program" --port "$port" --admin-port "$admin" \
        --bind 127.0.0.1 --admin-bind 127.0.0.1 --dir "$data" --threads 1 --log-format json >"$scratch/log" 2>&1 &
    server=$!
    # Where this check ends early, in a subshell, nobody else knows the number.
    trap 'kill -KILL "$server" 2>/dev/null || true' EXIT
    serves "$port" "$admin" "$engine"
}

serves_under_our_profile() {
    cp deploy/docker/seccomp.json "$scratch/profile.json"
    serves_under "$scratch/profile.json" uring
}

# Without the three calls it is as with Docker's default: the server falls to epoll.
falls_without_the_three() {
    grep -v io_uring deploy/docker/seccomp.json | "$python" -c 'import json, re, sys
print(json.dumps(json.loads(re.sub(r"\"names\": \[\s*\],", "\"names\": [],", sys.stdin.read()))))' >"$scratch/profile.json"
    serves_under "$scratch/profile.json" epoll
    grep -q 'a seccomp profile forbids io_uring_setup' "$scratch/log"
}

serves_under_the_unit() {
    "$python" "$checks"/filter.py "$unit" >"$scratch/profile.json"
    serves_under "$scratch/profile.json" uring
}

# --- Containers

# The image's own root, read-only, with its user and its profile, by the runtime that Docker and Kubernetes use. Its base is
# stood in for by this machine's static busybox, of another version and another C library.
serves_in_a_container() {
    local port admin applet bundle=$scratch/bundle
    ((EUID == 0)) || { echo "runc wants root for this"; return 1; }
    read -r port admin < <(ports)
    deploy/docker/root.sh "$program" "$bundle/rootfs"
    mkdir -p "$bundle/rootfs/proc" "$bundle/rootfs/dev" "$bundle/data"
    install -D -m 755 "$(command -v busybox)" "$bundle/rootfs/bin/busybox"
    for applet in sh wget cat; do ln -s busybox "$bundle/rootfs/bin/$applet"; done
    chown 6379:6379 "$bundle/data"
    "$python" "$checks/bundle.py" "$bundle" /etc/tallyring/tallyring.conf --bind 127.0.0.1 --port "$port" \
        --admin-port "$admin" --threads 1
    # runc hands signals on and ends as the server does.
    runc --root "$scratch/runc" run --bundle "$bundle" "tallyring-$$" >"$scratch/log" 2>&1 </dev/null &
    server=$!
    trap 'kill -KILL "$server" 2>/dev/null || true; runc --root "$scratch/runc" delete --force "tallyring-$$" || true' EXIT
    serves "$port" "$admin" uring health_check "$admin"
}

# inside COMMAND…: runs it in that container, as the same user and under the same profile.
inside() {
    timeout 20 runc --root "$scratch/runc" exec --env PATH=/bin "tallyring-$$" "$@" </dev/null
}

# health_check ADMIN-PORT: what the image and compose.yaml ask whether it is well; and a shell, for whoever looks around.
health_check() {
    local words
    "$python" "$checks"/manifests.py health "$1" >"$scratch/health"
    mapfile -t words <"$scratch/health"
    inside "${words[@]}"
    # shellcheck disable=SC2016 # the shell inside fills it in
    [[ $(inside sh -c 'wget -q -O - "$0" | cat' "http://127.0.0.1:$1/readyz") == ready ]]
    # It is no check that cannot fail.
    if inside "${words[@]}" "http://127.0.0.1:$1/nothing" 2>/dev/null; then echo "it asks nothing"; return 1; fi
    echo "${words[*]}"
}

# Against Docker's own default, as Debian ships it in the sources that other packages are built with. That of 20.10 has the three
# calls, later ones do not; they are taken out before.
seccomp_difference() {
    local default
    default=$(find "${DOCKER_SOURCE:?where that package was unpacked}" -path '*/profiles/seccomp/default.json')
    deploy/docker/profile.py check "$default"
}

dockerfile() {
    hadolint deploy/docker/Dockerfile
    # What the build copies exists, with .dockerignore in force: the manifest can be read, and the root be laid out.
    local context=$scratch/context
    mkdir -p "$context/benches" "$context/deploy"
    [[ $(grep -c '^!' .dockerignore) == 5 ]]
    cp Cargo.toml Cargo.lock "$context/"
    cp -r src "$context/"
    cp benches/*.rs "$context/benches/"
    cp -r deploy/docker "$context/deploy/"
    (cd "$context" && cargo metadata --offline --locked --no-deps --format-version 1 >/dev/null)
    "$context/deploy/docker/root.sh" "$program" "$scratch/image"
    # Nothing of this machine but what was laid out.
    if ((EUID == 0)); then
        chroot "$scratch/image" /usr/bin/tallyring --version
        chroot "$scratch/image" /usr/bin/tallyring --check-config /etc/tallyring/tallyring.conf
    fi
    du -sh --apparent-size "$scratch/image" | sed "s,$scratch/,,"
}

manifests() {
    "$python" "$checks"/manifests.py "$1"
}

# --- Prometheus and Grafana

rules() {
    promtool check rules --lint=all --lint-fatal deploy/prometheus/alerts.yaml
    promtool test rules deploy/prometheus/alerts_test.yaml
}

dashboard() {
    "$python" "$checks"/names.py expressions >"$scratch/dashboard.yaml"
    promtool check rules "$scratch/dashboard.yaml"
    "$python" "$checks"/manifests.py dashboard
}

names() {
    "$python" "$checks"/names.py "$1"
}

check "every tool is there" tools
secrets
check "shell scripts" shell_scripts
check "Python scripts compile" python_scripts
check "YAML and JSON can be read" manifests files
check "the Debian package" package
unit_root
check "the unit and its drop-ins" unit_is_well_formed
check "exposure of the unit, at most 1.5" unit_is_hardened
check "sysusers.d and tmpfiles.d" users_and_directories
check "directives of configuration files" configurations
check "flags of command lines" command_lines
check "the seccomp profile against Docker's default" seccomp_difference
check "it serves under the seccomp profile" serves_under_our_profile
check "it falls to epoll without the three calls" falls_without_the_three
check "it serves under the unit's filter" serves_under_the_unit
check "it serves in a container" serves_in_a_container
check "the Dockerfile" dockerfile
check "compose.yaml" manifests compose
check "Kubernetes manifests" manifests kubernetes
check "alert rules and their tests" rules
check "the dashboard" dashboard
check "metrics of alerts and dashboard exist" names metrics
check "each alert has its section of the runbook" names runbook
check "links between documents" names links

word=ok
((failed == 0)) || word=FAILED
printf '\ntest result: %s. %d passed; %d failed; 0 ignored\n' "$word" "$passed" "$failed"
exit $((failed > 0))
