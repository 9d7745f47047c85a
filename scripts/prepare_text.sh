#!/bin/sh
# Creates the built-in text, the King James Bible, with the program `bible` of Debian's package bible-kjv: one verse per
# line, without references. Does nothing if the file exists.
#
# Usage: scripts/prepare_text.sh [FILE]        (default: data/kjv.txt of this source tree)
set -eu

target=${1:-$(dirname -- "$0")/../data/kjv.txt}
verses=31102
# 4,137,850 bytes with bible-kjv 4.38; other versions may differ by a few words.
min_size=4130000
max_size=4150000

fail() {
  echo "prepare_text.sh: $*" >&2
  exit 1
}

[ -e "$target" ] && exit 0
command -v bible >/dev/null || fail "the program 'bible' was not found; install the package bible-kjv"

mkdir -p -- "$(dirname -- "$target")"
temporary=$(mktemp -- "$target.XXXXXX")
trap 'rm -f -- "$temporary"' EXIT

# Each line is "Ge1:1 In the beginning ...".
LC_ALL=C bible -f 'gen1:1-rev22:21' | LC_ALL=C sed 's/^[^ ]*[0-9]:[0-9]* *//' >"$temporary"

[ "$(wc -l <"$temporary")" -eq "$verses" ] || fail "the text has $(wc -l <"$temporary") verses, expected $verses"
size=$(wc -c <"$temporary")
{ [ "$size" -ge "$min_size" ] && [ "$size" -le "$max_size" ]; } || fail "the text has $size bytes, expected about 4.14 MB"
[ "$(head -n 1 "$temporary")" = "In the beginning God created the heaven and the earth." ] ||
  fail "the text does not begin with Genesis 1:1"

chmod 644 "$temporary"
mv -- "$temporary" "$target"
