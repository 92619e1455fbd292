# Runs a server for as long as the other end of standard input is held open.
#
# $1 is the directory of its sockets, removed at the end with all that is in it (a cluster for one
# run only lies there, too); the rest is the command that runs it.
# However the process at the other end goes (stopped, killed, crashed), the system closes its end,
# and the server is asked to shut down and is reaped.

exec 3<&0 </dev/null
sockets=$1
shift

"$@" 3<&- &
server=$!
trap 'kill -INT "$server"' HUP INT TERM

{
    read -r _ <&3
    # Fast shutdown: sessions are ended, what is committed stays. After 5 s, at once.
    kill -INT "$server"
    tenths=0
    while [ "$tenths" -lt 50 ] && kill -0 "$server"; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
    kill -QUIT "$server"
} 2>/dev/null &
keeper=$!

# A trap cuts `wait` short: only a server that is gone ends this.
while
    wait "$server"
    status=$?
    kill -0 "$server" 2>/dev/null
do
    :
done

kill "$keeper" 2>/dev/null
rm -rf "$sockets"
exit "$status"
