# shellcheck shell=bash
# PowerDNS Recursor with a response policy zone.
program=pdns_recursor
package=pdns-recursor
cmd=(pdns_recursor --config-dir="$dir")

conf() {
    rpz_zone
    echo "rpzFile('$rpz', {defpol=Policy.NXDOMAIN})" >"$dir/rpz.lua"
    cat >"$dir/recursor.conf" <<CONF
local-address=127.0.0.1
local-port=$port
daemon=no
disable-syslog=yes
threads=1
distributor-threads=0
pdns-distributes-queries=no
forward-zones-recurse=.=127.0.0.1:$upstream_port
dont-query=
dnssec=off
lua-config-file=$dir/rpz.lua
socket-dir=$dir
security-poll-suffix=
CONF
}

version() { pdns_recursor --version 2>&1 | sed -n '1s/.*\(PowerDNS Recursor [^ ]*\).*/\1/p'; }
