# shellcheck shell=bash
# dnsmasq, as access points run it.
program=dnsmasq
package=dnsmasq-base
cmd=(dnsmasq --keep-in-foreground --conf-file="$dir/dnsmasq.conf")

conf() {
    {
        cat <<CONF
port=$port
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
pid-file=
user=$(id -un)
server=127.0.0.1#$upstream_port
cache-size=100000
dns-forward-max=10000
edns-packet-max=1232
CONF
        sed 's#.*#address=/&/#' "$list"
    } >"$dir/dnsmasq.conf"
}

version() { dnsmasq --version | sed -n '1s/ *Copyright.*//;1s/version //p'; }
