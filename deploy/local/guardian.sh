# Outlives whoever started it by a moment, to end what that one could not: when standard input closes (the parent has
# gone, however it went), every process still on the list gets SIGTERM, and SIGKILL ten seconds later; then folders
# on the list are removed. Reads lines: "watch PID", "forget PID", "remove FOLDER", and "hurry": SIGKILL after half a second.
watched=" "
folders=""
limit=100
while IFS=' ' read -r action what; do
  case $action in
    watch) watched="$watched$what " ;;
    forget) watched=$(printf '%s' "$watched" | sed "s/ $what / /") ;;
    hurry) limit=5 ;;
    remove) folders="$folders$what
" ;;
  esac
done
for pid in $watched; do kill -TERM "$pid" 2>/dev/null; done
tenths=0
for pid in $watched; do
  while kill -0 "$pid" 2>/dev/null && [ "$tenths" -lt "$limit" ]; do
    sleep 0.1
    tenths=$((tenths + 1))
  done
  kill -KILL "$pid" 2>/dev/null
done
printf '%s' "$folders" | while IFS= read -r folder; do rm -rf -- "$folder"; done
