#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# selftest.sh: each lint script finds what it is for and is silent about a clean tree.
set -u
here=$(realpath "$(dirname "$0")")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
failed=0

clean() {
    rm -rf "$tree"
    mkdir -p "$tree"/{common/wire,common/base,server,client,build}
    printf '/* SPDX-License-Identifier: MIT */\n#include <stdint.h>\n' >"$tree/common/wire/a.h"
    printf '/* SPDX-License-Identifier: MIT */\n#include "wire/a.h"\n#include <jansson.h>\n' >"$tree/common/base/b.h"
    printf '/* SPDX-License-Identifier: MIT */\n#include <uv.h>\n' >"$tree/server/loop.h"
    printf '/* SPDX-License-Identifier: MIT */\n/* No uv.h. */\n#include "base/b.h"\n' >"$tree/server/pure.h"
    printf '/* SPDX-License-Identifier: MIT */\n#include "pure.h"\nstatic const int table[] = {1};\n/* strcpy(a, b), TODO(#12): */\nconst char *f(void);\nconst char *f(void)\n{\n    return table[0] ? "gets(x)" : "";\n}\n' >"$tree/server/pure.c"
}

# expect STATUS SCRIPT [FILE TEXT]: on the clean tree with TEXT appended to FILE.
expect() {
    clean
    [ $# -lt 4 ] || printf "$4" >>"$tree/$3"
    out=$(bash "$here/$2" "$tree" 2>&1)
    if [ $? -ne "$1" ]; then
        echo "$2 with ${3:-a clean tree} ${4:-}: not $1: $out"
        failed=1
    fi
}

expect 0 layering.sh
expect 1 layering.sh common/wire/a.h '#include <jansson.h>\n'
expect 1 layering.sh common/wire/a.h '#include "base/b.h"\n'
expect 1 layering.sh common/wire/a.h '#include <unistd.h>\n'
expect 1 layering.sh common/base/b.h '#include <uv.h>\n'
expect 1 layering.sh common/base/b.h '#include "pure.h"\n'
expect 1 layering.sh server/pure.c '#include <uv.h>\n'
expect 1 layering.sh server/pure.c '#  include "loop.h"\n'
expect 1 layering.sh server/pure.h '#include "loop.h"\n'
expect 1 layering.sh client/c.c '#include "pure.h"\n'
expect 1 layering.sh client/c.c '#include <uv.h>\n'
expect 0 banned.sh
expect 0 banned.sh server/pure.c 'int my_rand(void);\n'
for call in strcpy strcat sprintf vsprintf atoi atol strtok rand random inet_ntoa alloca gets; do
    expect 1 banned.sh server/pure.c "    x = $call (y);\n"
done
expect 0 spdx.sh
expect 1 spdx.sh client/c.c 'int x;\n'
expect 0 names.sh
expect 1 names.sh server/pure.c '/* TO''DO: more */\n'
expect 1 names.sh server/pure.c '/* TO''DO(me) */\n'
expect 1 names.sh server/pure.c '/* see /wo''rk/x */\n'
expect 1 names.sh server/pure.c '/* from http''s://mirror.test/x */\n'
expect 0 names.sh server/pure.c '/* from https://example.org/x */\n'
if command -v clang-format-14 >/dev/null; then
    expect 1 format.sh server/pure.c 'int   x;\n'
fi
if command -v cppcheck >/dev/null; then
    expect 0 cppcheck.sh
    expect 1 cppcheck.sh server/pure.c 'void g(void);\nvoid g(void)\n{\n    int a[2];\n    a[2] = 1;\n}\n'
fi

# variables: libbase.a holds one of each kind
variables() {
    clean
    printf '%s\n' "$2" >"$tree/v.c"
    cc -fPIC -c "$tree/v.c" -o "$tree/v.o" && ar rcs "$tree/build/libbase.a" "$tree/v.o"
    out=$(bash "$here/banned.sh" "$tree" "$tree/build" 2>&1)
    if [ $? -ne "$1" ]; then
        echo "banned.sh with $2: not $1: $out"
        failed=1
    fi
}
if command -v objdump >/dev/null; then
    variables 0 'static const char *const names[] = {"a"}; const char *f(void) { return names[0]; }'
    variables 1 'static int calls; int f(void) { return calls++; }'
    variables 1 'int f(void) { static int calls = 3; return calls++; }'
    variables 1 'int shared = 1;'
    variables 1 'static _Thread_local int mine; int f(void) { return mine++; }'
    variables 1 'static const char *name = "a"; const char *f(void) { return name; } void g(const char *n) { name = n; }'
fi
exit $failed
