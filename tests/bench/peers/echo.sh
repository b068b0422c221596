# shellcheck shell=bash
# The limit: a UDP loop that flips one bit. It knows no list; any answer is a right one.
program=$bin/examples/echo
package=
first_answer=noerror
checked=no
cmd=("$program" --listen "127.0.0.1:$port")

conf() { :; }
version() { echo "one thread, recvmmsg and sendmmsg"; }
