# Keeps one server on a leash. Arguments: last signal, grace in seconds, then the server's command line.
#
# Standard input is the leash: our parent holds its other end. A line on it names a signal to pass on.
# Its end means that the parent is gone, however it went: the server gets the last signal and, after the grace, KILL.
# Standard output is only held, never written: the sweeper removes the data when nobody holds it any more.
# Standard error is the log, of the server and of this script.
last=$1 grace=$2
shift 2
exec 3<&0
"$@" </dev/null >&2 3<&- &
server=$!
(
  while read -r signal <&3; do kill -s "$signal" "$server"; done
  kill -s "$last" "$server"
  tenths=$((grace * 10))
  while [ "$tenths" -gt 0 ]; do
    sleep 0.1
    tenths=$((tenths - 1))
  done
  kill -s KILL "$server"
) >/dev/null 2>&1 &
leash=$!
wait "$server"
status=$?
kill "$leash" 2>/dev/null
exit "$status"
