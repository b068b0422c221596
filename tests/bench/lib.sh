# shellcheck shell=bash
# What compare, compile, curve, swap, flood, follow and encrypted share: building, a directory and ports of their own,
# an upstream, subjects, and the kernel's figures about them. The sourcing script sets `set -euo pipefail`.

export LC_ALL=C
bench=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$bench/../.." && pwd)
bin=${CARGO_TARGET_DIR:-$root/target}/release
results=$bench/RESULTS.md

# Core of the subject; load and upstream share the other one.
subject_core=0 load_core=1
# Ports are looked for from here on.
next_port=5400

children=()
declare -A pid_of port_of ready_of

die() { echo "${0##*/}: $*" >&2; exit 1; }
note() { echo "$*" >&2; }

# --- preparing ------------------------------------------------------------------------------------------------------

# need PROGRAM PACKAGE: notes a package whose program is missing
missing=()
need() { command -v "$1" >/dev/null || missing+=("$2"); }

# Installs what `need` noted. Debian starts a service as soon as it is installed, on port 53 of every address, unless
# policy-rc.d says no.
install_missing() {
    ((${#missing[@]})) || return 0
    note "missing packages: ${missing[*]}"
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        note "not installed: that needs root on Debian"
        return 0
    fi
    local policy=/usr/sbin/policy-rc.d ours=no
    if [[ ! -e $policy ]]; then
        ours=yes
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod +x "$policy"
    fi
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        "${missing[@]}"; } >&2 || note "apt-get failed; going on without"
    [[ $ours == no ]] || rm "$policy"
}

# begin: a directory of our own, removed at the end together with every child
begin() {
    (($(nproc) >= 2)) || die "two cores are needed: one for the subject, one for the load"
    need nsd nsd
    need jq jq
    need taskset util-linux
    install_missing
    command -v nsd >/dev/null || die "nsd is missing; it is the upstream of every subject (package nsd)"
    command -v jq >/dev/null || die "jq is missing; it reads the figures of the load program (package jq)"
    work=$(mktemp -d "${TMPDIR:-/tmp}/friendly-bench.XXXXXX")
    chmod 755 "$work"
    trap finish EXIT
    trap 'exit 130' INT TERM
}

finish() {
    local pid
    for pid in "${children[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${children[@]}"; do stop "$pid"; done
    rm -rf "$work"
}

# build: the programs, unless the caller has said --no-build
build() {
    note "building"
    "$root/tests/build" --quiet ||
        die "the build failed; --no-build measures what is in $bin"
}

# prepare N: $list and the questions in $data, in place of earlier ones
prepare() {
    data=$work/data list=$work/data/list.txt
    note "preparing $1 names"
    "$bench/prepare.sh" "$data" "$1" 2>/dev/null || die "prepare.sh failed"
}

# free_port: sets $port to one that nobody uses, UDP or TCP
free_port() {
    local hex
    while :; do
        port=$next_port next_port=$((next_port + 1))
        printf -v hex ':%04X' "$port"
        awk -v end="$hex" 'substr($2, length($2) - 4) == end { used = 1 } END { exit used }' \
            /proc/net/udp /proc/net/tcp /proc/net/udp6 /proc/net/tcp6 2>/dev/null && return
    done
}

# first_question FILE: its first line
first_question() { sed -n 1p "$data/$1.txt"; }

# rpz_zone: sets $rpz to the list as a response policy zone, made once for all that read it
rpz_zone() {
    rpz=$work/list.rpz
    [[ $rpz -nt $list ]] && return
    {
        printf '$TTL 300\n@ IN SOA localhost. root.localhost. 1 3600 600 86400 300\n@ IN NS localhost.\n'
        sed 's/.*/& CNAME .\n*.& CNAME ./' "$list"
    } >"$rpz"
}

# --- processes ------------------------------------------------------------------------------------------------------

alive() { kill -0 "$1" 2>/dev/null; }

# stop PID: politely, then after three seconds not
stop() {
    local deadline=$((SECONDS + 3))
    kill "$1" 2>/dev/null || true
    while alive "$1" && ((SECONDS < deadline)); do read -rt 0.02 <> <(:) || true; done
    kill -KILL "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

# probe PORT "NAME TYPE" RCODE SECONDS: prints when the first right answer came, as seconds since 1970
probe() {
    taskset -c "$load_core" "$bin/examples/load" --server "127.0.0.1:$1" --probe "$2" --expect "$3" --seconds "$4" |
        jq -r .unix
}

# upstream: NSD with a root zone whose wildcards answer every name. The addresses are those of the AS112 project:
# globally reachable by registration, so that no protection against private or documentation addresses objects.
upstream() {
    local dir=$work/upstream port
    mkdir "$dir"
    free_port
    upstream_port=$port
    cat >"$dir/root.zone" <<'ZONE'
$ORIGIN .
$TTL 86400
@ IN SOA ns.bench. hostmaster.bench. 1 3600 600 86400 300
@ IN NS ns.bench.
ns.bench. IN A 127.0.0.1
* IN A 192.31.196.1
* IN AAAA 2001:4:112::1
* IN HTTPS 1 . alpn=h2
ZONE
    cat >"$dir/nsd.conf" <<CONF
server:
    ip-address: 127.0.0.1@$upstream_port
    zonesdir: "$dir"
    database: ""
    username: ""
    pidfile: "$dir/nsd.pid"
    xfrdfile: "$dir/xfrd.state"
    zonelistfile: "$dir/zone.list"
    server-count: 1
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: "."
    zonefile: "root.zone"
CONF
    taskset -c "$load_core" nsd -d -c "$dir/nsd.conf" >"$dir/log" 2>&1 &
    children+=($!)
    probe "$upstream_port" "ready.example A" noerror 10 >/dev/null || die "NSD did not start: $(tail -n 1 "$dir/log")"
}

# peer NAME DIR PORT: reads peers/NAME.sh, which defines
#   program, package   what to look for, and the Debian package it is in ("" = built here)
#   conf               a function that writes the configuration into $dir, from $list, $port and $upstream_port
#   cmd                an array: what to run, in the foreground
#   version            a function that prints one line
#   first_answer       response code to a blocked question (default nxdomain)
#   checked            "no": answers are not compared with what is right
peer() {
    dir=$2 port=$3 first_answer=nxdomain checked=yes
    [[ -r $bench/peers/$1.sh ]] || die "unknown subject \"$1\"; there are: $(cd "$bench/peers" && echo *.sh)"
    # shellcheck source=/dev/null
    source "$bench/peers/$1.sh"
}

# start NAME QUESTION [RCODE]: configures and starts a subject, waits until it answers NAME with RCODE (default: as it
# answers blocked names), sets pid_of, port_of and ready_of (seconds); 1 when it does not start within two minutes
start() {
    local name=$1 question=$2 began pid answered deadline
    dir=$work/$name
    mkdir "$dir"
    free_port
    peer "$name" "$dir" "$port"
    command -v "$program" >/dev/null || { note "$name: not run, ${program##*/} is missing"; return 1; }
    conf || { note "$name: not run, its configuration could not be made"; return 1; }
    began=$EPOCHREALTIME deadline=$((SECONDS + 120))
    taskset -c "$subject_core" "${cmd[@]}" >"$dir/log" 2>&1 &
    pid=$!
    children+=("$pid")
    until answered=$(probe "$port" "$question" "${3:-$first_answer}" 1); do
        if ! alive "$pid" || ((SECONDS > deadline)); then
            note "$name: did not answer; the end of its log:"
            tail -n 4 "$dir/log" >&2
            stop "$pid"
            return 1
        fi
    done
    pid_of[$name]=$pid port_of[$name]=$port
    ready_of[$name]=$(awk -v a="$began" -v b="$answered" 'BEGIN { printf "%.2f", b - a }')
}

# --- figures --------------------------------------------------------------------------------------------------------

# cpu PID: nanoseconds on a core, all threads together. From schedstat, which counts exactly; utime and stime come in
# ticks of 10 ms and on some kernels are sampled: a thread that runs briefly between ticks would cost nothing.
# A subject that has died, or a thread that just ends, counts nothing.
cpu() { { cat /proc/"$1"/task/*/schedstat 2>/dev/null || true; } | awk '{ sum += $1 } END { printf "%.0f\n", sum }'; }

# field PID FILE FIELD: KiB, as /proc/PID/FILE has it
field() { awk -v field="$3:" '$1 == field { print $2 }' "/proc/$1/$2"; }

# resident PID, anonymous PID: MiB. Pages of mapped files can be dropped at any time; anonymous ones cannot.
resident() { echo $((($(field "$1" status VmRSS) + 512) / 1024)); }
anonymous() { echo $((($(field "$1" smaps_rollup Pss_Anon) + 512) / 1024)); }

# ask PORT QUESTIONS ARGUMENTS...: one load; prints its line of JSON
ask() {
    taskset -c "$load_core" "$bin/examples/load" --server "127.0.0.1:$1" --queries "$data/$2.txt" "${@:3}"
}

# measure PID PORT QUESTIONS ARGUMENTS...: one load, as
# "CPU-us-per-answer  questions-per-second  p50-us  p99-us  lost  wrong"
measure() {
    local before after answer
    before=$(cpu "$1")
    answer=$(ask "${@:2}")
    after=$(cpu "$1")
    jq -r --argjson ns "$((after - before))" \
        '[$ns / 1000 / ([.answered, 1] | max), .qps, .p50, .p99, .lost, .wrong] | @tsv' <<<"$answer"
}

# medians FILE...: the median of every column over all lines; the sum of the last two (lost, wrong)
medians() {
    cat "$@" | awk '
    { rows = NR; columns = NF; for (i = 1; i <= NF; i++) cell[i, NR] = $i }
    END {
        for (i = 1; i <= columns; i++) {
            if (i > columns - 2) {
                sum = 0
                for (r = 1; r <= rows; r++) sum += cell[i, r]
                printf "%d%s", sum, i < columns ? "\t" : "\n"
                continue
            }
            for (a = 2; a <= rows; a++)
                for (b = a; b > 1 && cell[i, b - 1] + 0 > cell[i, b] + 0; b--) {
                    swap = cell[i, b]; cell[i, b] = cell[i, b - 1]; cell[i, b - 1] = swap
                }
            m = rows % 2 ? cell[i, (rows + 1) / 2] : (cell[i, rows / 2] + cell[i, rows / 2 + 1]) / 2
            printf "%.2f\t", m
        }
    }'
}

# machine: two lines about where this was measured
machine() {
    local model
    model=$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | sed -n 1p)
    printf '%s, kernel %s, %s, %s cores\n' "$(date -u +%Y-%m-%dT%H:%MZ)" "$(uname -r)" "${model:-unknown processor}" \
        "$(nproc)"
}

# record TITLE: appends standard input to RESULTS.md
record() { { printf '\n## %s\n\n```text\n' "$1"; machine; echo; cat; printf '```\n'; } >>"$results"; }
