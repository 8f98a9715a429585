#!/bin/sh
# An agent in shell: looks at the disk, if it may. One line of JSON comes in per turn, lines that say what it does go out.
say() { printf '{"type":"text","text":"%s\\n"}\n' "$1"; }
read -r turn
say "Let me look."
printf '{"type":"tool","id":"1","name":"Bash","params":{"command":"df -h ."}}\n'
read -r decision
case $decision in
*'"allow":true'*) df -h . | while read -r line; do say "$line"; done ;;
*) say "I may not." ;;
esac
printf '{"type":"done"}\n'
