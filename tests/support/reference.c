/* SPDX-License-Identifier: MIT */
#include "reference.h"

static const char *type_name(const struct conf_key *key)
{
    static const char *const names[] = {
        [CONF_BOOL] = "boolean",
        [CONF_U32] = "whole number",
        [CONF_U64] = "size",
        [CONF_MS] = "number",
        [CONF_STRING] = "string",
        [CONF_ENUM] = "word",
        [CONF_ADDR] = "address:port",
        [CONF_STRINGS] = "array of strings",
        [CONF_PREFIXES] = "array of prefixes",
        [CONF_CUSTOM] = "array",
    };

    if (key->type != CONF_CUSTOM || (key->fallback != NULL && key->fallback[0] == '['))
        return names[key->type];
    return key->fallback == NULL ? "text" : "number or text";
}

static void print_words(FILE *to, const struct conf_key *key)
{
    for (size_t i = 0; key->choices[i] != NULL; i++)
        (void)fprintf(to, "%s`%s`", i == 0 ? "" : ", ", key->choices[i]);
}

static void print_range(FILE *to, const struct conf_key *key)
{
    char low[CONF_VALUE_MAX], high[CONF_VALUE_MAX];

    if (key->type == CONF_ENUM)
        print_words(to, key);
    else if (key->type == CONF_STRINGS || key->type == CONF_PREFIXES)
        (void)fprintf(to, "up to %s", conf_print(CONF_U32, key->max, high));
    else if (key->max != 0)
        (void)fprintf(to, "%s to %s", conf_print(key->type, key->min, low),
                      conf_print(key->type, key->max, high));
}

void reference_print(FILE *to, const struct conf_key *keys, const char *prefix, bool reload)
{
    (void)fprintf(to, "| Key | Type | Unit | Default | Range |%s Meaning |\n",
                  reload ? " Reload |" : "");
    (void)fprintf(to, "|---|---|---|---|---|%s---|\n", reload ? "---|" : "");
    for (const struct conf_key *k = keys; k->path != NULL; k++) {
        (void)fprintf(to, "| `%s%s` | %s | %s | ", prefix, k->path, type_name(k), conf_unit(k));
        if (k->fallback == NULL)
            (void)fprintf(to, "required | ");
        else
            (void)fprintf(to, "`%s` | ", k->fallback);
        print_range(to, k);
        (void)fprintf(to, " |%s %s |\n",
                      !reload         ? ""
                      : k->reloadable ? " yes |"
                                      : " restart |",
                      k->help);
    }
}
