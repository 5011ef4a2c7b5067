/* SPDX-License-Identifier: Apache-2.0
 * Help, made from the tables. */
#include <string.h>

#include "cli.h"

enum { NAME_WIDTH = 26, TEXT_WIDTH = 78 - 2 - NAME_WIDTH };

/* Words of `text` in lines of TEXT_WIDTH from the current column on. */
static void print_wrapped(FILE *to, const char *text) {
    size_t column = 0;
    while (*text) {
        const size_t word = strcspn(text, " \n");
        if (column && column + 1 + word > TEXT_WIDTH) {
            (void)fprintf(to, "\n%*s", 2 + NAME_WIDTH, "");
            column = 0;
        }
        (void)fprintf(to, "%s%.*s", column ? " " : "", (int)word, text);
        column += word + (column ? 1 : 0);
        text += word;
        text += strspn(text, " \n");
    }
    (void)fputc('\n', to);
}

static const char *value_name(const cli_option *option) {
    if (option->value) return option->value;
    switch (option->type) {
    case CLI_FLAG: return "";
    case CLI_STRING: return "TEXT";
    case CLI_PATH:
    case CLI_OUTPUT: return "FILE";
    case CLI_INT: return "N";
    case CLI_FLOAT: return "X";
    case CLI_ENUM: return option->choices;
    case CLI_LIST: return "A,B,..";
    }
    return "";
}

static void print_option(FILE *to, const cli_option *option) {
    char name[128], text[1024];
    const char *value = value_name(option);
    (void)snprintf(name, sizeof name, "--%s%s%s", option->name, *value ? " " : "", value);
    (void)snprintf(text, sizeof text, "%s%s%s%s%s", option->help,
                   option->required ? " (required)" : "", option->preset ? " [" : "",
                   option->preset ? option->preset : "", option->preset ? "]" : "");
    if (strlen(name) < NAME_WIDTH)
        (void)fprintf(to, "  %-*s", NAME_WIDTH, name);
    else
        (void)fprintf(to, "  %s\n%*s", name, 2 + NAME_WIDTH, "");
    print_wrapped(to, text);
}

static void print_indented(FILE *to, const char *lines) {
    while (*lines) {
        const size_t length = strcspn(lines, "\n");
        (void)fprintf(to, "  %.*s\n", (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

static void print_row(FILE *to, const cli_command *command) {
    (void)fprintf(to, "  %-16s %s\n", command->name, command->summary);
}

whet_status cli_help_overview(FILE *to) {
    (void)fprintf(to, "whet sharpens a pretrained model with about a hundred labels\n\n"
                      "usage: whet COMMAND [OPTIONS]\n\ncommands:\n");
    for (const cli_command *c = cli_commands; c->name; c++) print_row(to, c);
    (void)fprintf(to, "  %-16s %s\n\n", "help", "this text; whet help COMMAND explains one");
    (void)fprintf(to, "options of every command:\n");
    for (const cli_option *o = cli_common_options; o->name; o++) print_option(to, o);
    (void)fprintf(to, "\nexit codes:\n"
                      "  0 done   1 the answer is no   2 wrong usage   3 bad input data\n"
                      "  4 file cannot be read or written   5 memory or limit   6 numeric failure\n"
                      "  70 a defect of whet   130 interrupted\n");
    return WHET_OK;
}

whet_status cli_help_command(FILE *to, const cli_command *command) {
    (void)fprintf(to, "whet %s: %s\n\nusage: whet %s", command->name, command->summary,
                  command->name);
    for (const cli_option *o = command->options; o && o->name; o++)
        if (o->required) (void)fprintf(to, " --%s %s", o->name, value_name(o));
    (void)fprintf(to, " [OPTIONS]%s%s\n", command->arguments ? " " : "",
                  command->arguments ? command->arguments : "");
    if (command->help) (void)fprintf(to, "\n%s\n", command->help);
    if (command->options && command->options->name) {
        (void)fprintf(to, "\noptions:\n");
        for (const cli_option *o = command->options; o->name; o++) print_option(to, o);
    }
    (void)fprintf(to, "\ncommon options:\n");
    for (const cli_option *o = cli_common_options; o->name; o++) print_option(to, o);
    if (command->examples) {
        (void)fprintf(to, "\nexamples:\n");
        print_indented(to, command->examples);
    }
    const size_t length = strlen(command->name);
    bool first = true;
    for (const cli_command *c = cli_commands; c->name; c++) {
        if (strncmp(c->name, command->name, length) != 0 || c->name[length] != ' ') continue;
        if (first) (void)fprintf(to, "\nsee also:\n");
        first = false;
        print_row(to, c);
    }
    return WHET_OK;
}

bool cli_help_group(FILE *to, const char *group) {
    const size_t length = strlen(group);
    bool any = false;
    for (const cli_command *c = cli_commands; c->name; c++) {
        if (strncmp(c->name, group, length) != 0 || c->name[length] != ' ') continue;
        if (!any) (void)fprintf(to, "usage: whet %s COMMAND [OPTIONS]\n\ncommands:\n", group);
        any = true;
        print_row(to, c);
    }
    if (any) (void)fprintf(to, "\nwhet help %s COMMAND explains one\n", group);
    return any;
}
