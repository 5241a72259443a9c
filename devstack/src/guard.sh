# Ends servers and removes their temporary folder when the process that started them is gone.
#
# Started by guard.rs as: sh -c THIS sh SIGNAL [FOLDER]. Standard input is a pipe whose other end only
# the caller holds: it ends when the caller closes it or dies, however it dies. Each line replaces
# the list of process groups to end. Standard output is the lock of the folder, held to the last.
trap '' HUP INT TERM
signal=$1 folder=${2-}

groups=
while read -r line; do groups=$line; done

each() { for group in $groups; do kill -s "$1" -- "-$group" 2>/dev/null; done; }
is_zombie() { # ended, but nobody takes note, as happens under a container's first process
    state=
    [ -r "/proc/$1/stat" ] && read -r _ _ state _ <"/proc/$1/stat"
    [ "$state" = Z ]
}
any_left() {
    for group in $groups; do
        kill -s 0 -- "-$group" 2>/dev/null && ! is_zombie "$group" && return 0
    done
    return 1
}

each CONT # what is suspended cannot end
each "$signal"
tries=100
while any_left && [ $tries -gt 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
done
each KILL

[ -n "$folder" ] || exit 0
tries=50
until rm -rf -- "$folder" 2>/dev/null || [ $tries -eq 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
done
