# shellcheck shell=bash
# dnsdist with a suffix tree in front of its packet cache; it forwards and does not resolve.
program=dnsdist
package=dnsdist
cmd=(dnsdist --supervised --disable-syslog -C "$dir/dnsdist.conf")

conf() {
    cat >"$dir/dnsdist.conf" <<LUA
setLocal('127.0.0.1:$port')
setSecurityPollSuffix('')
newServer({address='127.0.0.1:$upstream_port', healthCheckMode='up'})
getPool(''):setCache(newPacketCache(500000, {maxTTL=86400}))
local blocked = newSuffixMatchNode()
for name in io.lines('$list') do blocked:add(newDNSName(name .. '.')) end
addAction(SuffixMatchNodeRule(blocked), RCodeAction(DNSRCode.NXDOMAIN))
LUA
}

version() { dnsdist --version | sed -n '1s/ (.*//p'; }
