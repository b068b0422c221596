# shellcheck shell=bash
# Unbound with a response policy zone: the way to block that can be changed without a restart.
# shellcheck source=tests/bench/peers/unbound.sh
source "$bench/peers/unbound.sh"

conf() {
    rpz_zone
    {
        unbound_base
        printf '    module-config: "respip iterator"\n'
        unbound_forward
        printf 'rpz:\n    name: rpz.bench.\n    zonefile: "%s"\n' "$rpz"
    } >"$dir/unbound.conf"
}
