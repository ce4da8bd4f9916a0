# SPDX-License-Identifier: MIT
# Sourced by the lint scripts: sources DIR PATTERN... prints the project's files below DIR that match one of the patterns, tracked or
# new, but not ignored; without git all files outside of build folders.
sources() {
    local dir=$1
    shift
    if git -C "$dir" rev-parse --git-dir >/dev/null 2>&1; then
        (cd "$dir" && git ls-files --cached --others --exclude-standard -- "$@" | while IFS= read -r f; do [ -e "$f" ] && echo "$f"; done | sort -u)
    else
        local args=() p
        for p in "$@"; do args+=(-o -path "./$p"); done
        (cd "$dir" && find . \( -name .git -o -name 'build*' -o -name __pycache__ \) -prune -o -type f \( "${args[@]:1}" \) -print |
            sed 's|^\./||' | sort -u)
    fi
}

# code FILE: its lines with comments and string contents blanked, so that line numbers hold.
code() {
    awk '{
        out = ""; n = length($0)
        for (i = 1; i <= n; i++) {
            two = substr($0, i, 2); c = substr($0, i, 1)
            if (in_comment) { if (two == "*/") { in_comment = 0; i++ } continue }
            if (in_string) { if (c == "\\") i++; else if (c == quote) { in_string = 0; out = out c } continue }
            if (two == "/*") { in_comment = 1; i++; continue }
            if (two == "//") break
            if (c == "\"" || c == "'"'"'") { in_string = 1; quote = c }
            out = out c
        }
        in_string = 0
        print out
    }' "$1"
}
