# shellcheck shell=bash
# This project's resolver. The list is compiled before the start, as publishers do and resolvers do not.
# $friendly_limits: text of the [rate_limit] table; by default loopback clients are exempt from it.
# $friendly_copies: a directory to look lists up in copies of them, as deployed resolvers do; by default in memory.
program=$bin/friendly-resolver
package=
cmd=("$program" run --config "$dir/config.toml")

# compile_list NAMES FILE: all names, as the peers block them too: what the compiler refuses the first time (public
# suffixes, names that must not be blocked by mistake) is allowed name by name the second time.
compile_list() {
    local report=$dir/refused.txt allow=()
    compile "$1" "$2" --report "$report" || return 1
    [[ -s $report ]] || return 0
    mapfile -t allow < <(sed -n 's/.*: refused [a-z-]*: \([^: ]*\):.*/--allow-protected=\1/p' "$report")
    compile "$1" "$2" "${allow[@]}"
}

compile() {
    "$bin/friendly-blocklist" compile --category test --out "$2" "${@:3}" "$1" >"$dir/compile.log" 2>&1 ||
        { tail -n 5 "$dir/compile.log" >&2; return 1; }
}

conf() {
    local files=
    if [[ -s $list ]]; then
        compile_list "$list" "$dir/test.list" || return 1
        files='"test.list"'
    fi
    [[ -z ${friendly_copies-} ]] || mkdir "$dir/$friendly_copies"
    cat >"$dir/config.toml" <<TOML
version = 1
[server]
listen = ["127.0.0.1:$port"]
workers = 1
[upstream]
servers = ["127.0.0.1:$upstream_port"]
[lists]
files = [$files]
last_good = "${friendly_copies-}"
[category.test]
layer = "family"
answer = "nxdomain"
[[policy]]
name = "default"
networks = ["0.0.0.0/0", "::/0"]
categories = ["test"]
[admin]
listen = ""
${friendly_limits-}
TOML
}

version() { "$program" --version; }
