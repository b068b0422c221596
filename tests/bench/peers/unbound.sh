# shellcheck shell=bash
# Unbound with one local-zone for every name: its fastest way to block, and the largest in memory.
program=unbound
package=unbound
cmd=(unbound -d -c "$dir/unbound.conf")

# Everything but the way of blocking; also read by unbound-rpz.sh.
unbound_base() {
    cat <<CONF
server:
    interface: 127.0.0.1@$port
    num-threads: 1
    do-daemonize: no
    use-syslog: no
    username: ""
    chroot: ""
    directory: "$dir"
    pidfile: ""
    do-not-query-localhost: no
    msg-cache-size: 128m
    rrset-cache-size: 256m
    so-rcvbuf: 4m
    outgoing-range: 4096
    num-queries-per-thread: 2048
    prefetch: yes
    minimal-responses: yes
CONF
}

unbound_forward() {
    printf 'forward-zone:\n    name: "."\n    forward-addr: 127.0.0.1@%s\n' "$upstream_port"
    printf 'remote-control:\n    control-enable: no\n'
}

conf() {
    sed 's/.*/local-zone: "&" always_nxdomain/' "$list" >"$dir/zones.conf"
    {
        unbound_base
        printf '    module-config: "iterator"\n    include: "%s/zones.conf"\n' "$dir"
        unbound_forward
    } >"$dir/unbound.conf"
}

version() { unbound -V | sed -n '1s/Version/Unbound/p'; }
