# Ends servers and removes their temporary folder when the process that started them is gone.
#
# Started by guard.rs as: sh -c THIS sh SIGNAL FOLDER keep|remove. Standard input is a pipe whose
# other end only the caller holds: it ends when the caller closes it or dies, however it dies. Each
# line replaces the list of process groups to end. Standard output is the lock of the folder.
trap '' HUP INT TERM
signal=$1 folder=$2 fate=$3

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
any_inside() { # helpers in groups of their own, which end by themselves a moment after their server
    for process in /proc/[0-9]*; do
        [ "$process/cwd" -ef "$folder" ] || [ "$process/cwd" -ef "$folder/data" ] && return 0
    done
    return 1
}
wait_while() { # CONDITION TENTHS
    tries=$2
    while [ "$tries" -gt 0 ] && "$1"; do
        tries=$((tries - 1))
        sleep 0.1
    done
}
not_removed() { ! rm -rf -- "$folder" 2>/dev/null; }

each CONT # what is suspended cannot end
each "$signal"
wait_while any_left 100
each KILL
wait_while any_inside 20
[ "$fate" = keep ] || wait_while not_removed 50
