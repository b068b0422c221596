# shellcheck shell=bash
# Knot Resolver, one process, with a response policy zone.
program=kresd
package=knot-resolver
cmd=(kresd --noninteractive --config="$dir/kresd.conf" "$dir")

conf() {
    rpz_zone
    cat >"$dir/kresd.conf" <<LUA
net.listen('127.0.0.1', $port, { kind = 'dns' })
modules.unload('ta_update')
modules.unload('ta_signal_query')
modules.unload('ta_sentinel')
trust_anchors.remove('.')
cache.open(200 * MB, 'lmdb://$dir/cache')
policy.add(policy.rpz(policy.DENY, '$rpz'))
policy.add(policy.all(policy.FORWARD({'127.0.0.1@$upstream_port'})))
LUA
}

version() { kresd --version | sed 's/, version//'; }
