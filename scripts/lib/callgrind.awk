# A dump of callgrind → three numbers: the instructions of PROGRAM itself, those of the system's libraries that it uses, and its allocations.
#
# A file is lines of costs below `fn=` and `ob=` lines. The line after `calls=` is what a call cost altogether, which is told again where the callee is.
# A name is written out once, behind a number that stands for it from then on.

function named(kind, line, number, rest) {
  sub(/^[a-z]+=/, "", line)
  match(line, /^\([0-9]+\)/)
  number = kind substr(line, 1, RLENGTH)
  rest = substr(line, RLENGTH + 2)
  if (rest != "") names[number] = rest
  return names[number]
}

/^ob=/ { own = named("object", $0) == PROGRAM; next }
/^cob=/ { named("object", $0); next }
/^fn=/ { named("function", $0); next }
/^cfn=/ { callee = named("function", $0); next }
/^calls=/ {
  split($1, call, "=")
  if (callee ~ /^(malloc|calloc|realloc|aligned_alloc|posix_memalign|memalign)$/) allocations += call[2]
  of_a_call = 1
  next
}
/^[-+*0-9]/ {
  if (of_a_call) of_a_call = 0
  else if (own) mine += $2
  else others += $2
}

END { printf "%.0f %.0f %d\n", mine, others, allocations }
