# Ends when nobody holds the other end of standard input any more; then does what its arguments say: the clean-up.
# A terminal that closes must not stop it half-way.
trap '' HUP INT TERM
cat >/dev/null
exec "$@" >/dev/null 2>&1
