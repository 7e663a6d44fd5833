# Keeps one server on a leash. Arguments: log file, last signal, grace in seconds, then the server's command line.
#
# Standard input is the leash: our parent holds its other end. A line on it names a signal to pass on.
# Its end means that the parent is gone, however it went: the server gets the last signal and, after the grace, KILL.
# Standard output is only held, never written: the sweeper removes the data when nobody holds it any more.
log=$1 last=$2 grace=$3
shift 3
exec 3<&0 2>>"$log"
"$@" </dev/null >>"$log" 2>&1 3<&- &
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
