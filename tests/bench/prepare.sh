#!/bin/bash
# prepare.sh DIR [N]: the material of a measurement, the same in every run.
#
#   list.txt     N names (default 1,000,000), one a line, sorted; a name covers everything below it
#   blocked.txt  10,000 questions (at most N / 2) for names on the list, every fourth for a name below one
#   clean.txt    10,000 questions for names that are neither on the list nor below it
#   mix.txt      200,000 questions: 97 % clean with popularity like Zipf's law, 3 % blocked
#   cold.txt     400,000 questions for names that are asked nowhere else
#
# Real names and real questions are taken from $SHARED/data (default: the directory `shared` beside the checkout);
# without them, and beyond their number, names are invented.
set -euo pipefail
export LC_ALL=C
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

(($# == 1 || $# == 2)) || { echo "usage: prepare.sh DIR [N]" >&2; exit 2; }
count=${2:-1000000}
[[ $count =~ ^[0-9]+$ ]] || { echo "prepare.sh: N must be a number, not \"$count\"" >&2; exit 2; }
mkdir -p "$1"
cd "$1"
data=${SHARED:-$here/../../../shared}/data
names=$data/scale/names-5.9m.txt.zst
questions=$data/queries-100k.txt

# Invented names start at different numbers for different uses, so that they never meet.
list_from=1 clean_from=100000001 cold_from=110000001

# invent FROM COUNT: pronounceable names, all different. The number of a name, mixed by an odd factor modulo 2^28
# (which is one to one), is written in 16 consonants, 4 vowels and 16 endings.
invent() {
    awk -v from="$1" -v count="$2" '
    BEGIN {
        split("b d f g h k l m n p r s t v w z", consonant, " ")
        split("a e i o", vowel, " ")
        split("n r s x ster ville -shop -online land tech s-24 blog -media co club hub", ending, " ")
        tlds = split("com com com com com net net org org info de fr it eu co.uk com.br", tld, " ")
        for (i = from; i < from + count; i++) {
            number = (i * 7368787 + 12345) % 268435456
            name = ""
            for (k = 0; k < 4; k++) {
                name = name consonant[number % 16 + 1]
                number = int(number / 16)
                name = name vowel[number % 4 + 1]
                number = int(number / 4)
            }
            print name ending[number + 1] "." tld[i % tlds + 1]
        }
    }'
}

# every_nth COUNT FILE: COUNT lines, evenly spread over the file
every_nth() {
    awk -v want="$1" -v have="$(wc -l <"$2")" 'int(NR * want / have) > int((NR - 1) * want / have)' "$2"
}

# with_types: a question for every name; three quarters A, as browsers ask
with_types() {
    awk '{ k = NR % 20; print $1, (k == 0 ? "HTTPS" : k % 5 == 1 ? "AAAA" : "A") }'
}

# not_listed FILE: the lines of FILE whose first word is neither in list.txt nor below a name of it. Keeps the
# questions in memory, not the list, which may be ten times larger than the memory of small machines.
not_listed() {
    awk '
    function suffix(name) { return substr(name, index(name, ".") + 1) }
    pass == 1 { for (n = $1; ; n = suffix(n)) { asked[n]; if (!index(n, ".")) break } }
    pass == 2 { if ($1 in asked) listed[$1] }
    pass == 3 {
        for (n = $1; ; n = suffix(n)) {
            if (n in listed) next
            if (!index(n, ".")) break
        }
        print
    }' pass=1 "$1" pass=2 list.txt pass=3 "$1"
}

list() {
    : >real.tmp
    if [[ -r $names ]] && command -v zstd >/dev/null; then
        zstd -dc "$names" | grep -E '^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z][a-z0-9-]*[a-z0-9]$' >real.tmp
    fi
    local have missing
    have=$(wc -l <real.tmp)
    if ((have >= count)); then
        every_nth "$count" real.tmp
    else
        missing=$((count - have))
        # a few more than needed, as some may be real by chance
        invent "$list_from" $((missing + missing / 100 + 10)) | sort >invented.tmp
        comm -13 real.tmp invented.tmp | awk -v want="$missing" 'NR <= want' | sort -m - real.tmp
        rm invented.tmp
    fi >list.txt
    rm real.tmp
}

blocked() {
    every_nth $((count < 20000 ? count / 2 : 10000)) list.txt |
        awk '{ print (NR % 4 == 0 && length($1) < 240 ? "www." : "") $1 }' |
        with_types >blocked.txt
}

# Names that resolvers answer by themselves (special-use names, the names of iCloud Private Relay and of Firefox'
# canary) say nothing about their caches, and are left out.
clean() {
    if [[ -r $questions ]]; then
        awk '($2 == "A" || $2 == "AAAA" || $2 == "HTTPS") && $1 ~ /^[a-z0-9_.-]+\.[a-z0-9-]+$/ &&
            $1 !~ /(^|\.)(local|localhost|test|invalid|onion|alt|arpa|home|lan|internal)$/ &&
            $1 !~ /(^|\.)example(\.(com|net|org))?$/ &&
            $1 !~ /^mask(-h2|-api)?\.(icloud|apple-dns)\.|^use-application-dns\.net$|(^|\.)resolver\.arpa$/ &&
            !seen[$0]++' "$questions"
    else
        invent "$clean_from" 12000 | with_types
    fi >clean.tmp
    not_listed clean.tmp | awk 'NR <= 10000' >clean.txt
    rm clean.tmp
}

cold() {
    invent "$cold_from" 400000 | sed 's/$/ A/' >cold.tmp
    not_listed cold.tmp >cold.txt
    rm cold.tmp
}

# The rank of a clean question is n^u with u uniform: the logarithm of the rank is uniform, which is Zipf's law.
mix() {
    awk '
    function random() { state = (state * 16807) % 2147483647; return state / 2147483647 }
    BEGIN { state = 20260101 }
    FILENAME == "clean.txt" { clean[cleans++] = $0; next }
    { blocked[blocks++] = $0 }
    END {
        for (i = 0; i < 200000; i++)
            if (blocks && random() < 0.03) print blocked[int(random() * blocks)]
            else print clean[int(exp(random() * log(cleans))) - 1]
    }' clean.txt blocked.txt >mix.txt
}

list
blocked
clean
cold
mix
wc -l list.txt blocked.txt clean.txt mix.txt cold.txt >&2
