# Runs a program for as long as the other end of standard input is held open.
#
# However the process at the other end goes (stopped, killed, crashed), the system closes its end,
# and the program is told to stop: it drains, for no longer than it is set to.

exec 3<&0 </dev/null
"$@" 3<&- &
program=$!

{
    read -r _ <&3
    kill -TERM "$program"
} 2>/dev/null &
keeper=$!

wait "$program"
status=$?
kill "$keeper" 2>/dev/null
exit "$status"
