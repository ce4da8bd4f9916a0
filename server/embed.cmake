# SPDX-License-Identifier: MIT
# cmake -DIN=FILE -DOUT=FILE.c -DNAME=symbol -P embed.cmake: the octets of IN as `const unsigned char NAME[]`, `const size_t NAME_len`
# (embedded.h).
file(READ "${IN}" hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR len "${digits} / 2")
string(REGEX REPLACE "(................................)" "\\1\n" lines "${hex}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," octets "${lines}")
file(WRITE "${OUT}" "#include \"embedded.h\"\nconst unsigned char ${NAME}[] = {\n${octets}0};\nconst size_t ${NAME}_len = ${len};\n")
