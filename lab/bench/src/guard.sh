# Ends children and removes the folder when the process that started them is gone.
#
# Started by process.rs as: sh -c THIS sh FOLDER. Standard input is a pipe whose other end only that process
# holds: it ends when the process does, however it does. Each line replaces the list of process groups to end.
trap '' HUP INT TERM
groups=
while read -r line; do groups=$line; done
each() { for group in $groups; do kill -s "$1" -- "-$group" 2>/dev/null; done; }
any_left() { for group in $groups; do kill -s 0 -- "-$group" 2>/dev/null && return 0; done; return 1; }
each TERM
tries=50
while [ "$tries" -gt 0 ] && any_left; do tries=$((tries - 1)); sleep 0.1; done
each KILL
rm -rf -- "$1"
