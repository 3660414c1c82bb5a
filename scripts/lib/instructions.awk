# Holds figures (the second file) against a baseline (the first). Prints a table, then what has to be said; exit 1 when a part has grown, 3 when one has shrunk.
#
#   decode_job = { instructions = 28955, allocations = 10.00 }

BEGIN { most = 5 }

FNR == 1 { files++ }
/^[a-z_0-9]+ = \{/ {
  gsub(/[{},]/, "")
  if (files == 1) { old[$1] = $5; old_allocations[$1] = $8 }
  else { order[++count] = $1; new[$1] = $5; new_allocations[$1] = $8 }
}

# Percent up; less than half an allocation is a hash map that grew in another iteration.
function up(now, before, least) {
  if (now - before < least && before - now < least) return 0
  return before == 0 ? 100 : (now / before - 1) * 100
}

function changed(percent) { return percent < 0.05 && percent > -0.05 ? "" : sprintf("%+.1f %%", percent) }

function said(part, what, now, before, percent) {
  if (percent > most) {
    grown = grown sprintf("instructions: %s has grown: %s %s an iteration, %s in the baseline: %.1f %% up (%d %% are accepted)\n", part, now, what, before, percent, most)
  } else if (percent < -most) {
    shrunk = shrunk sprintf("instructions: %s has shrunk: %s %s an iteration, %s in the baseline: %.1f %% down\n", part, now, what, before, -percent)
  }
}

END {
  printf "%-20s %14s %10s %9s   %11s %9s %9s\n", "part", "instructions", "baseline", "", "allocations", "baseline", ""
  for (i = 1; i <= count; i++) {
    part = order[i]
    if (!(part in old)) {
      printf "%-20s %14s %10s %9s   %11s\n", part, new[part], "none", "", new_allocations[part]
      grown = grown "instructions: " part " is not in the baseline\n"
      continue
    }
    percent = up(new[part], old[part], 1)
    percent_allocations = up(new_allocations[part], old_allocations[part], 0.5)
    printf "%-20s %14s %10s %9s   %11s %9s %9s\n", part, new[part], old[part], changed(percent), new_allocations[part], old_allocations[part], changed(percent_allocations)
    said(part, "instructions", new[part], old[part], percent)
    said(part, "allocations", new_allocations[part], old_allocations[part], percent_allocations)
  }
  for (part in old) if (!(part in new)) grown = grown "instructions: " part " is in the baseline and was not counted\n"
  if (count == 0) grown = grown "instructions: nothing was counted\n"
  fflush()
  printf "%s%s", shrunk, grown >"/dev/stderr"
  exit grown != "" ? 1 : shrunk != "" ? 3 : 0
}
